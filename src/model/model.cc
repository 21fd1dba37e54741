#include "sq/model/model.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/problem_list.h"
#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {
namespace {

constexpr int64_t kCompared = 1 << 16;  // elements at a time

// Checkpoints of the bare decoder, as some of OPT are, lack the first part of the names.
TensorStore WithFullNames(TensorStore store, const Architecture& architecture) {
  constexpr char kPrefix[] = "model.";
  const std::string bare = std::string(architecture.embedding).substr(sizeof kPrefix - 1);
  if (store.Find(bare) == nullptr) return store;
  std::vector<FileTensor> tensors;
  for (const std::string& name : store.Names()) {
    tensors.push_back(store.Get(name));
    if (name != architecture.head) tensors.back().name = kPrefix + name;
  }
  return TensorStore::Of(store.path(), tensors);
}

// Whether two tensors hold the same numbers; NaN is no number. One that is stored under two names,
// as PyTorch's files have tied weights, is not read.
bool SameValues(const FileTensor& a, const FileTensor& b) {
  if (a.shape != b.shape || !IsFloat(a.dtype) || !IsFloat(b.dtype)) return false;
  const bool same_place = a.file == b.file && a.offset == b.offset && a.dtype == b.dtype &&
                          a.copy == nullptr && b.copy == nullptr;
  if (same_place) return true;
  const int64_t count = a.bytes / DTypeBytes(a.dtype);
  std::vector<float> left(kCompared), right(kCompared);
  bool same = true;
  for (int64_t done = 0; same && done < count; done += kCompared) {
    const int64_t now = std::min(kCompared, count - done);
    ReadFloats(a, done, now, left.data());
    ReadFloats(b, done, now, right.data());
    same = std::equal(left.begin(), left.begin() + now, right.begin());
  }
  a.Release();
  b.Release();
  return same;
}

// A layer without outliers is whole; one whose outliers an index lists and no shard holds is not.
ProblemList MissingOutliers(const ModelConfig& config, const TensorStore& store) {
  ProblemList problems;
  for (const LinearInfo& linear : ModelLinears(config)) {
    for (const std::string& name : OptionalPackedTensorNames(linear.name)) {
      if (store.ListedInVain(name)) problems.Add(store.Missing(name));
    }
  }
  return problems;
}

// The checks of one model's tensors, and what they leave.
class TensorCheck {
 public:
  TensorCheck(const TensorStore& store, ProblemList problems)
      : store_(store), problems_(std::move(problems)) {}

  void Plain(const std::string& name, const Shape& shape) {
    Use(name);
    CheckFloats(store_, name, shape, &problems_);
  }

  void Layer(const LinearInfo& linear, LayerForm form) {
    if (form == LayerForm::kPacked || HasPackedLayer(store_, linear.name)) {
      CheckPackedTensors(store_, linear.name, linear.out_features, linear.in_features, &problems_);
      for (const std::string& name : PackedTensorNames(linear.name)) Use(name);
    } else {
      Plain(linear.WeightName(), {linear.out_features, linear.in_features});
    }
    if (linear.bias) Plain(linear.BiasName(), {linear.out_features});
  }

  void Unknown(const std::vector<std::string>& names) {
    for (const std::string& name : names) problems_.Add("tensor " + name + " is unknown");
  }

  // Throws on all that was wrong.
  void Check() const { problems_.Check(store_.path()); }

  // In the order of the store's names.
  std::vector<std::string> Unused() const {
    std::vector<std::string> unused;
    for (const std::string& name : store_.Names()) {
      if (used_.count(name) == 0) unused.push_back(name);
    }
    return unused;
  }
  TensorStore Used() const {
    std::vector<FileTensor> tensors;
    for (const std::string& name : used_) tensors.push_back(store_.Get(name));
    return TensorStore::Of(store_.path(), tensors);
  }

 private:
  void Use(const std::string& name) {
    if (store_.Find(name) != nullptr) used_.insert(name);
  }

  const TensorStore& store_;
  std::set<std::string> used_;
  ProblemList problems_;
};

}  // namespace

std::string TensorsText(const std::vector<std::string>& names) {
  constexpr size_t kTold = 3;
  if (names.size() == 1) return "tensor " + names[0];
  std::string text = StrCat(names.size(), " tensors (");
  for (size_t i = 0; i < std::min(names.size(), kTold); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  return text + (names.size() > kTold ? StrCat(" and ", names.size() - kTold, " more)") : ")");
}

TensorStore OpenWeights(const std::string& folder, const ModelConfig& config) {
  return WithFullNames(TensorStore::Open(folder), *config.architecture);
}

void TieHead(ModelConfig* config, TensorStore* store, std::vector<std::string>* warnings) {
  if (!config->tie_word_embeddings) return;
  const Architecture& architecture = *config->architecture;
  const FileTensor* head = store->Find(architecture.head);
  if (head == nullptr) return;
  const FileTensor* embedding = store->Find(architecture.embedding);
  if (embedding != nullptr && !SameValues(*embedding, *head)) {
    config->tie_word_embeddings = false;
    warnings->push_back(StrCat(
        store->path(), ": tensor ", architecture.head, " differs from ", architecture.embedding,
        ", to which config.json ties it: it is used as it is, and not tied"));
    return;
  }
  std::vector<FileTensor> tensors;
  for (const std::string& name : store->Names()) {
    if (name != architecture.head) tensors.push_back(store->Get(name));
  }
  if (embedding == nullptr) {
    tensors.push_back(*head);
    tensors.back().name = architecture.embedding;
  }
  *store = TensorStore::Of(store->path(), tensors);
}

Model CheckedModel(const std::string& folder, const ModelConfig& config, const TensorStore& store,
                   const OpenOptions& options, LayerForm form, ProblemList problems) {
  TensorCheck check(store, std::move(problems));
  for (const PlainTensor& tensor : PlainTensors(config)) check.Plain(tensor.name, tensor.shape);
  for (const LinearInfo& linear : ModelLinears(config)) check.Layer(linear, form);
  const std::vector<std::string> unused = check.Unused();
  if (options.strict) check.Unknown(unused);
  check.Check();
  Model model{folder, config, check.Used()};
  if (!unused.empty()) {
    model.warnings.push_back(StrCat(store.path(), ": ", TensorsText(unused),
                                    unused.size() == 1 ? " is" : " are",
                                    " not used, and not carried into an output"));
  }
  std::vector<std::string> doubles;
  for (const std::string& name : model.store.Names()) {
    if (model.store.Get(name).dtype == DType::kF64) doubles.push_back(name);
  }
  if (!doubles.empty()) {
    model.warnings.push_back(
        StrCat(store.path(), ": ", TensorsText(doubles), " of type F64, converted to F32"));
  }
  return model;
}

Model OpenModel(const std::string& folder, const OpenOptions& options) {
  const std::string adapter = std::filesystem::path(folder) / "adapter_config.json";
  SQ_CHECK(
      !FileExists(adapter), adapter,
      ": an adapter (LoRA) lies in the folder, which transformers would apply: merge it into the "
      "weights (peft's merge_and_unload), or take it away");
  ModelConfig config = ReadModelConfig(folder, options.ignore_config_fields);
  TensorStore store = OpenWeights(folder, config);
  const ProblemList problems = MissingOutliers(config, store);
  std::vector<std::string> warnings;
  TieHead(&config, &store, &warnings);
  Model model = CheckedModel(folder, config, store, options, LayerForm::kAny, problems);
  model.warnings.insert(model.warnings.begin(), warnings.begin(), warnings.end());
  return model;
}

}  // namespace sq
