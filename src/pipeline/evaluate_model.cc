#include "sq/pipeline/evaluate_model.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/base/parallel.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/eval/perplexity.h"
#include "sq/model/decoder.h"
#include "sq/model/matmul_precision.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/progress.h"
#include "sq/pipeline/torch_model.h"
#include "sq/text/corpus.h"
#include "sq/text/json_documents.h"
#include "sq/text/token_lists.h"
#include "sq/text/tokenizer.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;
using TokenLists = std::vector<std::vector<int32_t>>;

// Exact weights of the quantized layers, in percent.
double SparsityPercent(const Model& model) {
  double weights = 0, nonzeros = 0;
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    weights += static_cast<double>(linear.out_features * linear.in_features);
    if (!HasPackedLayer(model.store, linear.name)) continue;
    nonzeros += static_cast<double>(SummarizePackedLayer(model.store, linear.name).outliers);
  }
  return 100 * nonzeros / weights;
}

Json Result(const Model& model, const std::string& dataset, const TokenLists& windows,
            const EvaluateModelOptions& options, const TakeLogits& logits = {}) {
  const Stopwatch watch;
  Progress progress(dataset, "layer", model.config.num_layers);
  PerplexityOptions perplexity;
  perplexity.device = options.device;
  perplexity.bfloat16 = WantsBfloat16(options.dtype, options.device);
  perplexity.activations = MemoryWithin(options.max_memory, options.device);
  perplexity.progress = [&](int64_t done, int64_t) {
    progress.Update(done);
    StopIfInterrupted();
  };
  const WindowLosses losses = EvaluateWindows(model, windows, perplexity, logits);
  int64_t tokens = 0;
  size_t longest = 0;
  for (const auto& window : windows) {
    tokens += static_cast<int64_t>(window.size());
    longest = std::max(longest, window.size());
  }
  const double value = Perplexity(losses);
  if (!std::isfinite(value)) {
    for (const std::string& name : model.store.Names()) CheckFinite(model.store.Get(name));
    throw Error(StrCat(model.folder, ": the perplexity on ", dataset, " is ", value));
  }
  return {{"dataset", dataset},        {"perplexity", value}, {"nll", std::log(value)},
          {"windows", windows.size()}, {"tokens", tokens},    {"sequence_length", longest},
          {"seconds", watch.Seconds()}};
}

Json TokensResult(const Model& model, TokenLists windows, const EvaluateModelOptions& options) {
  if (options.windows > 0 && static_cast<int64_t>(windows.size()) > options.windows) {
    windows.resize(static_cast<size_t>(options.windows));
  }
  if (options.logits.empty()) return Result(model, options.tokens, windows, options);
  std::vector<TensorView> tensors;
  for (size_t w = 0; w < windows.size(); ++w) {
    const int64_t count = static_cast<int64_t>(windows[w].size());
    tensors.push_back({"logits." + std::to_string(w),
                       DType::kF32,
                       {count, model.config.vocab_size},
                       nullptr,
                       count * model.config.vocab_size * 4});
  }
  SafetensorsWriter writer(options.logits, tensors, {{"format", "pt"}});
  const Json result =
      Result(model, options.tokens, windows, options, [&](int64_t w, const at::Tensor& logits) {
        TensorView view = tensors[static_cast<size_t>(w)];
        view.data = logits.const_data_ptr();
        writer.Append(view);
      });
  writer.Commit();
  return result;
}

Json Generated(const Model& model, const Tokenizer& tokenizer,
               const EvaluateModelOptions& options) {
  const std::vector<int32_t> prompt = tokenizer.Encode(*options.generate);
  const auto loaded = LoadModel(model, options.device);
  const Stopwatch watch;
  const std::vector<int32_t> ids = GenerateGreedy(loaded, prompt, options.max_new_tokens);
  return {{"prompt", *options.generate},
          {"text", tokenizer.Decode(ids, /*skip_special_tokens=*/true)},
          {"ids", ids},
          {"seconds", watch.Seconds()}};
}

Model OpenEvaluated(const EvaluateModelOptions& options) {
  if (options.torch_file.empty()) {
    Model model = OpenModel(options.model, options.open);
    const int bits = model.config.quantized_bits > 0 ? model.config.quantized_bits : 16;
    SQ_CHECK(options.bits == 0 || options.bits == bits, options.model, ": expected ", options.bits,
             " bits, as --wbits says, found ", bits);
    return model;
  }
  Model model = OpenTorchModel(options.model, options.torch_file, options.open);
  CheckTorchModel(model, options.torch_file, options.bits, options.include_sparse);
  return model;
}

TokenSamples DataSetWindows(const std::string& dataset, const Tokenizer& tokenizer,
                            const EvaluateModelOptions& options, int64_t length, int64_t windows) {
  EvaluationOptions wanted;
  wanted.data_dir = options.data_dir;
  wanted.text_field = options.text_field;
  wanted.sequence_length = length;
  wanted.max_windows = windows;
  TokenSamples samples = EvaluationWindows(dataset, tokenizer, wanted);
  LogDebug(StrCat(dataset, ": ", samples.samples.size(), " windows of ", samples.source));
  if (const std::string text = FilesText(samples.files); !text.empty()) {
    LogInfo(StrCat(samples.source, ": ", text));
  }
  return samples;
}

// The results of a report by what they were measured on.
const Json* FindResult(const Json& report, const Json& like) {
  for (const Json& result : report["results"]) {
    bool same = true;
    for (const char* key : {"dataset", "windows", "sequence_length"}) {
      same = same && result.contains(key) && result[key] == like[key];
    }
    if (same) return &result;
  }
  return nullptr;
}

// What is evaluated, read before any of it is, so that the last thing asked for does not fail after
// the first has taken hours.
struct Inputs {
  TokenLists tokens;                   // --tokens
  std::vector<TokenSamples> datasets;  // a data set each
  std::vector<MmluSubject> mmlu;
  TokenLists benchmark;
  std::string benchmark_source;
  std::unique_ptr<Tokenizer> tokenizer;  // null where nothing asks for one
};

void CheckOptions(const EvaluateModelOptions& options) {
  SQ_CHECK(!options.datasets.empty() || !options.tokens.empty() || options.generate ||
               !options.mmlu.folder.empty() || options.benchmark.tokens > 0,
           "nothing to evaluate: give --dataset, --tokens, --generate, --mmlu or --benchmark");
  SQ_CHECK(options.save_tokens.empty() || options.datasets.size() == 1,
           "the tokens of one --dataset can be saved, not of ", options.datasets.size());
  for (const std::string& path : {options.save_tokens, options.logits, options.mmlu.logits}) {
    if (!path.empty()) CheckCanWrite(path);
  }
}

Inputs ReadInputs(const Model& model, const EvaluateModelOptions& options) {
  const bool has_tokens = !options.tokens.empty(), has_mmlu = !options.mmlu.folder.empty();
  const bool benchmarks_text = options.benchmark.tokens > 0 && !has_tokens;
  Inputs inputs;
  if (has_tokens) inputs.tokens = ReadTokenLists(options.tokens);
  if (!options.datasets.empty() || has_mmlu || benchmarks_text || options.generate) {
    inputs.tokenizer = LoadTokenizer(model.folder);
  }
  for (const std::string& dataset : options.datasets) {
    inputs.datasets.push_back(DataSetWindows(dataset, *inputs.tokenizer, options,
                                             options.sequence_length, options.windows));
  }
  if (has_mmlu) {
    inputs.mmlu = ReadMmlu(options.mmlu.folder, options.mmlu.subjects, options.mmlu.shots);
  }
  inputs.benchmark = inputs.tokens;
  inputs.benchmark_source = has_tokens ? options.tokens : options.benchmark.dataset;
  if (benchmarks_text) {
    inputs.benchmark = DataSetWindows(options.benchmark.dataset, *inputs.tokenizer, options,
                                      options.benchmark.tokens, options.benchmark.batch)
                           .samples;
  }
  return inputs;
}

}  // namespace

Json EvaluateModel(const EvaluateModelOptions& options) {
  CheckOptions(options);
  const Model model = OpenEvaluated(options);
  LogWarnings(model);
  const Inputs inputs = ReadInputs(model, options);
  const bool bfloat16 = WantsBfloat16(options.dtype, options.device);
  const MatmulPrecision precision(bfloat16);
  Json report = {
      {"model", options.model},
      {"bits", model.config.quantized_bits > 0 ? Json(model.config.quantized_bits) : Json(nullptr)},
      {"sparsity", SparsityPercent(model)},
      {"results", Json::array()}};
  if (!options.tokens.empty()) {
    report["results"].push_back(TokensResult(model, inputs.tokens, options));
  }
  if (!options.save_tokens.empty()) {
    WriteFile(options.save_tokens, Json(inputs.datasets.front().samples).dump() + "\n");
  }
  for (size_t i = 0; i < inputs.datasets.size(); ++i) {
    report["results"].push_back(
        Result(model, options.datasets[i], inputs.datasets[i].samples, options));
  }
  if (!inputs.mmlu.empty()) {
    report["mmlu"] = EvaluateMmlu(model, *inputs.tokenizer, inputs.mmlu, options.mmlu,
                                  options.max_memory, options.device, bfloat16);
  }
  if (options.benchmark.tokens > 0) {
    BenchmarkOptions benchmark = options.benchmark;
    benchmark.device = options.device;
    report["benchmark"] = Benchmark(model, inputs.benchmark, inputs.benchmark_source, benchmark);
  }
  if (options.generate) report["generated"] = Generated(model, *inputs.tokenizer, options);
  report["device"] = DeviceName(options.device);
  report["threads"] = ThreadCount();
  report["peak_memory_bytes"] = PeakResidentBytes();
  report["version"] = Version();
  return report;
}

TokenLists TokenizeFile(const std::string& model, const std::string& path,
                        const std::string& text_field) {
  const auto tokenizer = LoadTokenizer(model);
  const JsonDocuments documents = ReadJsonDocuments(path, text_field);
  SQ_CHECK(documents.none.empty(), documents.none);
  TokenLists ids;
  for (const std::string& text : documents.texts) ids.push_back(tokenizer->Encode(text));
  return ids;
}

std::string ReportText(const Json& report) {
  std::string text;
  char value[64];
  for (const Json& result : report["results"]) {
    std::snprintf(value, sizeof value, "%.4f", result["perplexity"].get<double>());
    text += StrCat(result["dataset"].get<std::string>(), ": perplexity ", value, ", ",
                   result["windows"].get<int64_t>(), " windows of ",
                   result["sequence_length"].get<int64_t>(), " tokens, ",
                   SecondsText(result["seconds"].get<double>()), "\n");
  }
  if (report.contains("mmlu")) text += MmluText(report["mmlu"]);
  if (report.contains("benchmark")) text += BenchmarkText(report["benchmark"]);
  if (report.contains("generated")) {
    const Json& generated = report["generated"];
    text += generated["prompt"].get<std::string>() + generated["text"].get<std::string>() + "\n";
  }
  return text;
}

Json ReadBaseline(const std::string& path) {
  Json before = ReadJsonFile(path);
  SQ_CHECK(before.is_object() && before.contains("results") && before["results"].is_array(), path,
           ": not a report of sq-eval: expected a list results");
  return before;
}

std::string CompareWithBaseline(const Json& report, const Json& before, const std::string& baseline,
                                double max_increase_percent) {
  std::string worse;
  int compared = 0;
  for (const Json& result : report["results"]) {
    const Json* old = FindResult(before, result);
    if (old == nullptr) continue;
    ++compared;
    const double now = result["perplexity"].get<double>();
    const double then = JsonDouble(*old, "perplexity", baseline);
    const double increase = 100 * (now / then - 1);
    if (increase <= max_increase_percent) continue;
    char values[128];
    std::snprintf(values, sizeof values, "%.4f is %.2f %% above the baseline's %.4f", now, increase,
                  then);
    worse += StrCat(result["dataset"].get<std::string>(), ": perplexity ", values, "\n");
  }
  SQ_CHECK(compared > 0, baseline,
           ": nothing to compare: no result of the same dataset, windows and sequence_length");
  return worse;
}

}  // namespace sq
