#include "sq/pipeline/pack_model.h"

#include <cmath>
#include <deque>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sq/base/error.h"
#include "sq/base/half.h"
#include "sq/base/json.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/base/problem_list.h"
#include "sq/base/process.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/checksums.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/quantized_config.h"
#include "sq/checkpoint/torch_writer.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/companion_files.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/output_folder.h"
#include "sq/pipeline/torch_model.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

PackedLayer ReadPackedLayer(const TensorStore& store, const LinearInfo& linear) {
  return ReadPackedLayer(store, linear.name, linear.out_features, linear.in_features);
}

// Views of tensors to be written, which it keeps where they are not as in the file.
class Views {
 public:
  TensorView operator()(const FileTensor& tensor) {
    TensorView view = ToWrite(tensor);
    view.data = DataToWrite(tensor, &converted_.emplace_back());
    return view;
  }

 private:
  std::deque<std::vector<float>> converted_;
};

Model OpenQuantized(const std::string& folder, const OpenOptions& open) {
  Model model = OpenModel(folder, open);
  LogWarnings(model);
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    CheckIsPacked(model.store, linear.name, folder);
  }
  return model;
}

void ToFp16(const std::vector<float>& values, const std::string& where, uint16_t* half) {
  constexpr float kRoundsToInfinity = 65520;
  for (const float value : values) {
    SQ_CHECK(std::fabs(value) < kRoundsToInfinity, where, ": value ", value, " does not fit fp16");
  }
  FloatToFp16(values.data(), half, static_cast<int64_t>(values.size()));
}

// A packed layer turned back into fp16 [out, in].
std::vector<uint16_t> DequantizeToFp16(const PackedLayer& layer, const std::string& where) {
  std::vector<uint16_t> half(static_cast<size_t>(layer.out_features * layer.in_features));
  std::vector<float> row(static_cast<size_t>(layer.in_features));
  for (int64_t o = 0; o < layer.out_features; ++o) {
    Dequantize(layer, o, {row.data(), 1, layer.in_features});
    ToFp16(row, where, half.data() + o * layer.in_features);
  }
  return half;
}

std::vector<uint16_t> ConvertToFp16(const FileTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.bytes / DTypeBytes(tensor.dtype)));
  ReadFloats(tensor, 0, static_cast<int64_t>(values.size()), values.data());
  std::vector<uint16_t> half(values.size());
  ToFp16(values, tensor.Where(), half.data());
  return half;
}

void WriteUnquantizedConfig(const Model& source, const std::string& folder) {
  Json config = CarriedConfig(source.folder, !source.config.tie_word_embeddings);
  config.erase("quantization_config");
  config["torch_dtype"] = "float16";
  WriteFile(fs::path(folder) / "config.json", JsonText(config) + "\n");
}

}  // namespace

void ExportTorchFile(const std::string& folder, const std::string& file, bool balanced,
                     const OpenOptions& open) {
  const OutputClaim claim(file);
  SQ_CHECK(!claim.is_folder(), file, ": is a folder; nothing was changed");
  const Model model = OpenQuantized(folder, open);
  const Architecture& architecture = *model.config.architecture;
  Views view;
  std::vector<TensorView> tensors;
  std::map<std::string, int64_t> integers;
  for (const std::string& name : model.store.Names()) {
    tensors.push_back(view(model.store.Get(name)));
  }
  if (model.config.tie_word_embeddings) {
    // A state dict has the head by its own name too.
    tensors.push_back(view(model.store.Get(architecture.embedding)));
    tensors.back().name = architecture.head;
  }
  std::deque<std::vector<int32_t>> start_rows;
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    const PackedLayer layer = ReadPackedLayer(model.store, linear);
    if (layer.outliers.row_ptr.empty()) continue;
    integers[SparseCountName(linear.name)] = layer.outliers.NonZeros();
    if (!balanced) continue;
    start_rows.push_back(BalancedStartRows(layer.outliers));
    tensors.push_back(StartRowsTensor(linear.name, start_rows.back()));
  }
  WriteTorchFile(file, tensors, integers);
}

void ImportTorchFile(const std::string& file, const std::string& model_folder,
                     const std::string& output, const OpenOptions& open) {
  OutputFolder folder(output);
  const Model model = OpenTorchModel(model_folder, file, open);
  LogWarnings(model);
  Views to_write;
  // Packed tensors are written as they are read, in their one form; other tensors as they lie in
  // the file, biases too, whose type is the model's.
  std::map<std::string, LinearInfo> packed;  // by the names of their tensors
  std::map<std::string, TensorView> views;
  for (const PlainTensor& plain : PlainTensors(model.config)) {
    views[plain.name] = to_write(model.store.Get(plain.name));
  }
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    StopIfInterrupted();
    const PackedLayer layer = ReadPackedLayer(model.store, linear);
    for (const TensorView& view : PackedTensors(layer, linear.name)) {
      views[view.name] = view;
      packed.emplace(view.name, linear);
    }
    if (!linear.bias) continue;
    views[linear.BiasName()] = to_write(model.store.Get(linear.BiasName()));
    packed.erase(linear.BiasName());
  }
  std::vector<TensorView> order;
  for (const auto& [name, view] : views) order.push_back(view);
  std::string last;  // the layer that was read last: names in order keep a layer's together
  PackedLayer layer;
  WriteCheckpoint(folder.temporary(), order, [&](size_t i) -> const void* {
    StopIfInterrupted();
    const auto linear = packed.find(order[i].name);
    if (linear == packed.end()) return order[i].data;
    if (linear->second.name != last) {
      layer = ReadPackedLayer(model.store, linear->second);
      last = linear->second.name;
    }
    for (const TensorView& view : PackedTensors(layer, last)) {
      if (view.name == order[i].name) return view.data;
    }
    return nullptr;
  });
  QuantizationInfo info;
  info.bits = model.config.quantized_bits;
  info.own_head = !model.config.tie_word_embeddings;
  WriteQuantizedConfig(model_folder, folder.temporary(), info);
  CopyCompanionFiles(model_folder, folder.temporary());
  folder.Commit();
}

void DequantizeFolder(const std::string& folder_path, const std::string& output,
                      const OpenOptions& open) {
  OutputFolder folder(output);
  const Model model = OpenQuantized(folder_path, open);
  struct Entry {
    TensorView view;
    const LinearInfo* linear;  // null: a tensor that is not packed
  };
  std::map<std::string, LinearInfo> linears;
  std::set<std::string> replaced;
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    linears.emplace(linear.WeightName(), linear);
    for (const std::string& name : PackedTensorNames(linear.name)) replaced.insert(name);
  }
  std::map<std::string, Entry> entries;
  for (const auto& [name, linear] : linears) {
    const int64_t bytes = linear.out_features * linear.in_features * 2;
    entries[name] = {{name, DType::kF16, {linear.out_features, linear.in_features}, nullptr, bytes},
                     &linear};
  }
  for (const std::string& name : model.store.Names()) {
    if (replaced.count(name) > 0) continue;
    TensorView view = ToWrite(model.store.Get(name));
    if (IsFloat(model.store.Get(name).dtype)) {
      view.bytes = view.bytes / DTypeBytes(view.dtype) * 2;
      view.dtype = DType::kF16;
    }
    entries[name] = {view, nullptr};
  }
  std::vector<TensorView> views;
  std::vector<const Entry*> order;
  for (const auto& [name, entry] : entries) {
    views.push_back(entry.view);
    order.push_back(&entry);
  }
  std::vector<uint16_t> half;
  WriteCheckpoint(folder.temporary(), views, [&](size_t i) -> const void* {
    StopIfInterrupted();
    if (order[i]->linear == nullptr) {
      const FileTensor& tensor = model.store.Get(order[i]->view.name);
      if (!IsFloat(tensor.dtype)) return tensor.data();
      half = ConvertToFp16(tensor);
      return half.data();
    }
    const LinearInfo& linear = *order[i]->linear;
    half = DequantizeToFp16(ReadPackedLayer(model.store, linear),
                            folder_path + ": layer " + linear.name);
    return half.data();
  });
  WriteUnquantizedConfig(model, folder.temporary());
  CopyCompanionFiles(folder_path, folder.temporary());
  folder.Commit();
}

Json Inspect(const std::string& path) {
  Json inspected = {{"path", path}, {"tensors", Json::object()}, {"integers", Json::object()}};
  const TensorStore store = TensorStore::Open(path);
  for (const auto& [name, value] : store.integers()) inspected["integers"][name] = value;
  for (const std::string& name : store.Names()) {
    const FileTensor& tensor = store.Get(name);
    inspected["tensors"][name] = {{"dtype", DTypeName(tensor.dtype)}, {"shape", tensor.shape}};
  }
  int64_t layers = 0, weights = 0, nonzeros = 0, bytes = 0;
  for (const std::string& name : PackedLayerNames(store)) {
    const PackedSummary layer = SummarizePackedLayer(store, name);
    ++layers;
    weights += layer.out_features * layer.in_features;
    bytes += layer.bytes;
    nonzeros += layer.outliers;
  }
  inspected["bytes"] = store.TotalBytes();
  inspected["packed"] = {{"layers", layers}, {"weights", weights}, {"nonzeros", nonzeros}};
  if (weights > 0) {
    const double count = static_cast<double>(weights);
    inspected["packed"]["bits_per_weight"] = 8.0 * static_cast<double>(bytes) / count;
    inspected["packed"]["sparsity_percent"] = 100.0 * static_cast<double>(nonzeros) / count;
  }
  return inspected;
}

int64_t Verify(const std::string& path, const OpenOptions& open) {
  const TensorStore store = TensorStore::Open(path);
  ProblemList problems;
  CheckSparseCounts(store, &problems);
  problems.Check(path);
  const std::vector<std::string> layers = PackedLayerNames(store);
  SQ_CHECK(!layers.empty(), path, ": no packed layers");
  for (const std::string& name : store.Names()) CheckFinite(store.Get(name));
  for (const std::string& name : layers) ReadPackedLayer(store, name);
  if (fs::is_directory(path)) {
    if (!VerifyChecksums(path, store)) LogWarning(path + ": no checksums.json to verify by");
    const Model model = OpenQuantized(path, open);
    for (int64_t l = 0; l < model.config.num_layers; ++l) {
      LoadDecoderLayer(model, l, DenseWeights::kFloat, kCpu);
    }
    LoadHead(model, DenseWeights::kFloat, kCpu);
  }
  return static_cast<int64_t>(layers.size());
}

}  // namespace sq
