#include "sq/pipeline/torch_model.h"

#include <algorithm>
#include <set>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/problems.h"
#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {
namespace {

// The tensors of `folder` that `file` lacks and is not expected to have.
std::vector<FileTensor> FromFolder(const std::string& folder, const ModelConfig& config,
                                   const std::vector<PlainTensor>& missing, const std::string& file,
                                   Problems* problems) {
  if (missing.empty()) return {};
  const TensorStore store = [&] {
    try {
      return OpenWeights(folder, config);
    } catch (const Error& error) {
      throw Error(StrCat(file, ": tensor ", missing.front().name,
                         " is missing, and the model's folder does not help: ", error.what()));
    }
  }();
  std::vector<FileTensor> tensors;
  for (const PlainTensor& wanted : missing) {
    if (const FileTensor* tensor = store.Find(wanted.name)) {
      tensors.push_back(*tensor);
    } else {
      problems->Add("tensor " + wanted.name + " is missing, here and in " + folder);
    }
  }
  return tensors;
}

void CheckPlain(const FileTensor& tensor, const Shape& shape, Problems* problems) {
  const bool is_float =
      tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16;
  if (tensor.shape != shape) {
    problems->Add(StrCat("tensor ", tensor.name, ": expected shape ", ShapeText(shape), ", found ",
                         ShapeText(tensor.shape)));
  } else if (!is_float) {
    problems->Add(StrCat("tensor ", tensor.name, ": expected type F32, F16 or BF16, found ",
                         DTypeName(tensor.dtype)));
  }
}

}  // namespace

Model OpenTorchModel(const std::string& folder, const std::string& file,
                     const OpenOptions& options) {
  Model model{folder, ReadModelConfig(folder, options.ignore_config_fields),
              TensorStore::Open(file)};
  ModelConfig& config = model.config;
  const TensorStore store = model.store;
  Problems problems;
  std::set<std::string> known;
  for (const std::string& name : IgnoredTensors(config)) known.insert(name);
  config.quantized_bits = 0;
  for (int64_t l = 0; l < config.num_layers; ++l) {
    for (const LinearInfo& linear : LayerLinears(config, l)) {
      const int bits = CheckPackedTensors(store, linear.name, linear.out_features,
                                          linear.in_features, &problems);
      config.quantized_bits = std::max(config.quantized_bits, bits);
      for (const auto& names :
           {PackedTensorNames(linear.name), OptionalPackedTensorNames(linear.name),
            FullRowNames(linear.name)}) {
        known.insert(names.begin(), names.end());
      }
      if (!linear.bias) continue;
      known.insert(linear.name + ".bias");
      if (store.Find(linear.name + ".bias") == nullptr) {
        problems.Add("tensor " + linear.name + ".bias is missing");
      }
    }
  }
  std::vector<FileTensor> tensors;
  std::vector<PlainTensor> missing;
  for (const PlainTensor& wanted : PlainTensors(config)) {
    known.insert(wanted.name);
    if (const FileTensor* tensor = store.Find(wanted.name)) {
      CheckPlain(*tensor, wanted.shape, &problems);
    } else {
      missing.push_back(wanted);
    }
  }
  for (const std::string& name : store.Names()) {
    if (known.count(name) == 0) problems.Add("tensor " + name + " is unknown");
    tensors.push_back(store.Get(name));
  }
  CheckSparseCounts(store, &problems);
  problems.Check(file);
  for (const FileTensor& tensor : FromFolder(folder, config, missing, file, &problems)) {
    tensors.push_back(tensor);
  }
  problems.Check(file);
  model.store = TensorStore::Of(file, tensors);
  return model;
}

void CheckTorchModel(const Model& model, const std::string& file, int bits, bool include_sparse) {
  SQ_CHECK(bits == 0 || bits == model.config.quantized_bits, file, ": expected ", bits,
           " bits, as --wbits says, found ", model.config.quantized_bits);
  bool sparse = false;
  for (const std::string& name : model.store.Names()) {
    constexpr std::string_view kSuffix = ".vals";
    sparse = sparse || (name.size() > kSuffix.size() &&
                        name.compare(name.size() - kSuffix.size(), kSuffix.size(), kSuffix) == 0);
  }
  SQ_CHECK(sparse || !include_sparse, file,
           ": expected outliers, as --include-sparse says, found none");
  if (sparse && !include_sparse) {
    LogInfo(file + ": has outliers; they are used, also without --include-sparse");
  }
}

}  // namespace sq
