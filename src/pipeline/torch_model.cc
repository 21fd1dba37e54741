#include "sq/pipeline/torch_model.h"

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/problem_list.h"
#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {
namespace {

// The tensors that the architecture needs and `store` lacks.
std::vector<PlainTensor> Missing(const ModelConfig& config, const TensorStore& store) {
  std::vector<PlainTensor> missing;
  for (const PlainTensor& wanted : PlainTensors(config)) {
    if (store.Find(wanted.name) == nullptr) missing.push_back(wanted);
  }
  return missing;
}

// `store`, of `file`, and from the model's folder what it lacks and the folder has. Where the file
// has no embedding, it is the folder's weights that tell whether the head is tied.
TensorStore WithFolders(const std::string& folder, const std::string& file,
                        const TensorStore& store, ModelConfig* config,
                        std::vector<std::string>* warnings) {
  const std::vector<PlainTensor> lacking = Missing(*config, store);
  if (lacking.empty()) return store;
  TensorStore weights = [&] {
    try {
      return OpenWeights(folder, *config);
    } catch (const Error& error) {
      throw Error(StrCat(file, ": tensor ", lacking.front().name,
                         " is missing, and the model's folder does not help: ", error.what()));
    }
  }();
  if (store.Find(config->architecture->embedding) == nullptr) {
    TieHead(config, &weights, warnings);
  }
  std::vector<FileTensor> tensors;
  for (const std::string& name : store.Names()) tensors.push_back(store.Get(name));
  for (const PlainTensor& wanted : Missing(*config, store)) {
    if (const FileTensor* tensor = weights.Find(wanted.name)) tensors.push_back(*tensor);
  }
  return TensorStore::Of(file, tensors);
}

}  // namespace

Model OpenTorchModel(const std::string& folder, const std::string& file,
                     const OpenOptions& options) {
  ModelConfig config = ReadModelConfig(folder, options.ignore_config_fields);
  TensorStore store = TensorStore::Open(file);
  ProblemList problems;
  CheckSparseCounts(store, &problems);
  std::vector<std::string> warnings;
  TieHead(&config, &store, &warnings);
  store = WithFolders(folder, file, store, &config, &warnings);
  Model model = CheckedModel(folder, config, store, options, LayerForm::kPacked, problems);
  model.warnings.insert(model.warnings.begin(), warnings.begin(), warnings.end());
  model.config.quantized_bits = 0;
  for (const LinearInfo& linear : ModelLinears(config)) {
    const int bits = SummarizePackedLayer(model.store, linear.name).bits;
    model.config.quantized_bits = std::max(model.config.quantized_bits, bits);
  }
  return model;
}

void CheckTorchModel(const Model& model, const std::string& file, int bits, bool include_sparse) {
  SQ_CHECK(bits == 0 || bits == model.config.quantized_bits, file, ": expected ", bits,
           " bits, as --wbits says, found ", model.config.quantized_bits);
  bool sparse = false;
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    sparse = sparse || SummarizePackedLayer(model.store, linear.name).outliers > 0;
  }
  SQ_CHECK(sparse || !include_sparse, file,
           ": expected outliers, as --include-sparse says, found none");
  if (sparse && !include_sparse) {
    LogInfo(file + ": has outliers; they are used, also without --include-sparse");
  }
}

}  // namespace sq
