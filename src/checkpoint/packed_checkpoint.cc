#include "sq/checkpoint/packed_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

template <typename T>
TensorView View(const std::string& name, DType dtype, const Shape& shape,
                const std::vector<T>& values) {
  return {name, dtype, shape, values.data(), static_cast<int64_t>(values.size() * sizeof(T))};
}

// log2 of the lookup table's width; the tensor's shape must be [out_features, 4, 8 or 16].
int TableBits(const FileTensor& table, int64_t out_features) {
  SQ_CHECK(table.shape.size() == 2 && table.shape[0] == out_features &&
               (table.shape[1] == 4 || table.shape[1] == 8 || table.shape[1] == 16),
           table.Where(), ": expected shape [", out_features, ", 4, 8 or 16], found ",
           ShapeText(table.shape));
  return table.shape[1] == 4 ? 2 : table.shape[1] == 8 ? 3 : 4;
}

Csr ReadOutliers(const TensorStore& store, const std::string& name, int64_t out_features) {
  Csr csr;
  const FileTensor* rows = store.Find(name + ".rows");
  if (rows == nullptr) {
    for (const char* part : {".cols", ".vals"}) {
      const FileTensor* stray = store.Find(name + part);
      SQ_CHECK(stray == nullptr, stray->Where(), ": without ", name, ".rows");
    }
    return csr;
  }
  const FileTensor& cols = store.Get(name + ".cols");
  const FileTensor& vals = store.Get(name + ".vals");
  CheckShape(*rows, {out_features + 1});
  CheckShape(cols, {ElementCount(cols.shape, cols.Where())});
  CheckShape(vals, cols.shape);
  csr.row_ptr = ReadI32(*rows);
  csr.cols = ReadI32(cols);
  csr.vals = ReadF32(vals);
  return csr;
}

}  // namespace

bool HasPackedLayer(const TensorStore& store, const std::string& name) {
  return store.Find(name + ".qweight") != nullptr;
}

PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name, int64_t out_features,
                            int64_t in_features) {
  const FileTensor& table = store.Get(name + ".lookup_table");
  const FileTensor& qweight = store.Get(name + ".qweight");
  PackedLayer layer;
  layer.bits = TableBits(table, out_features);
  layer.out_features = out_features;
  layer.in_features = in_features;
  SQ_CHECK(in_features % 32 == 0, qweight.Where(), ": expected a multiple of 32 inputs, found ",
           in_features);
  CheckShape(qweight, {in_features / 32 * layer.bits, out_features});
  CheckDType(qweight, DType::kI32);
  layer.qweight.resize(static_cast<size_t>(qweight.bytes) / 4);
  std::memcpy(layer.qweight.data(), qweight.data(), static_cast<size_t>(qweight.bytes));
  layer.lookup_table = ReadF32(table);
  layer.outliers = ReadOutliers(store, name, out_features);
  if (const FileTensor* bias = store.Find(name + ".bias")) {
    CheckShape(*bias, {out_features});
    layer.bias.resize(static_cast<size_t>(out_features));
    ReadFloats(*bias, 0, out_features, layer.bias.data());
  }
  ValidatePackedLayer(layer, qweight.file->path() + ": layer " + name);
  return layer;
}

std::vector<TensorView> PackedTensors(const PackedLayer& layer, const std::string& name) {
  const int64_t out = layer.out_features, nonzeros = layer.outliers.NonZeros();
  std::vector<TensorView> tensors = {
      View(name + ".qweight", DType::kI32, {layer.in_features / 32 * layer.bits, out},
           layer.qweight),
      View(name + ".lookup_table", DType::kF32, {out, layer.TableSize()}, layer.lookup_table)};
  if (!layer.outliers.row_ptr.empty()) {
    tensors.push_back(View(name + ".rows", DType::kI32, {out + 1}, layer.outliers.row_ptr));
    tensors.push_back(View(name + ".cols", DType::kI32, {nonzeros}, layer.outliers.cols));
    tensors.push_back(View(name + ".vals", DType::kF32, {nonzeros}, layer.outliers.vals));
  }
  if (!layer.bias.empty()) {
    tensors.push_back(View(name + ".bias", DType::kF32, {out}, layer.bias));
  }
  return tensors;
}

std::vector<std::string> PackedTensorNames(const std::string& name) {
  return {name + ".qweight", name + ".lookup_table"};
}

std::vector<std::string> OptionalPackedTensorNames(const std::string& name) {
  return {name + ".rows", name + ".cols", name + ".vals", name + ".startrows"};
}

std::vector<int32_t> BalancedStartRows(const Csr& csr) {
  constexpr int64_t kOutliersPerThread = 10, kThreadsPerBlock = 128;
  const int64_t nonzeros = csr.NonZeros();
  const int64_t wanted = (nonzeros + kOutliersPerThread - 1) / kOutliersPerThread;
  const int64_t threads = (wanted + kThreadsPerBlock - 1) / kThreadsPerBlock * kThreadsPerBlock;
  std::vector<int32_t> rows(static_cast<size_t>(threads), -1);
  if (threads == 0) return rows;
  const int64_t per_thread = (nonzeros + threads - 1) / threads;
  const auto begin = csr.row_ptr.begin(), end = csr.row_ptr.end() - 1;
  for (int64_t t = 0; t < threads && per_thread * t <= nonzeros; ++t) {
    const auto after = std::lower_bound(begin, end, per_thread * t);
    rows[static_cast<size_t>(t)] = static_cast<int32_t>(after == begin ? 0 : after - begin - 1);
  }
  return rows;
}

void WriteQuantizedConfig(const std::string& source, const std::string& folder,
                          const QuantizationInfo& info) {
  const std::filesystem::path from(source), to(folder);
  const std::string path = from / "config.json";
  const nlohmann::json read = ReadJsonFile(path);
  SQ_CHECK(read.is_object(), path, ": expected an object, found ", JsonTypeName(read));
  nlohmann::ordered_json config = nlohmann::ordered_json::object();
  for (const auto& [key, value] : read.items()) config[key] = value;
  config["quantization_config"] = {{"quant_method", "squeezellm"},
                                   {"bits", info.bits},
                                   {"sensitive_fraction", info.sensitive_fraction},
                                   {"outlier_fraction", info.outlier_fraction},
                                   {"modules_to_not_convert", {"lm_head"}}};
  WriteFile(to / "config.json", config.dump(2) + "\n");
  const nlohmann::ordered_json quant_config = {{"wbits", info.bits}};
  WriteFile(to / "quant_config.json", quant_config.dump(2) + "\n");
}

}  // namespace sq
