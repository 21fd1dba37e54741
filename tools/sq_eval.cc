// sq-eval: flags -> EvaluateModelOptions -> EvaluateModel -> report, and the gate.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/pipeline/evaluate_model.h"
#include "tools/cli.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  sq-eval models/llama-2-7b --dataset wikitext2
  sq-eval llama-2-7b-w4 --dataset wikitext2 --dataset my-texts.jsonl --json w4.json
  sq-eval llama-2-7b-w4 --dataset wikitext2 --baseline w4.json --max-increase-percent 1    exit 3 if worse
  sq-eval llama-2-7b-w4 --generate "The capital of France is" --max-new-tokens 10
  sq-eval models/llama-7b --load sq-llama-7b-w3-s5.pt --wbits 3 --include-sparse --dataset c4
  sq-eval llama-2-7b-w4 --tokens ids.json --logits logits.safetensors
  sq-eval llama-2-7b-w4 --mmlu mmlu/data --subjects anatomy,astronomy
  sq-eval llama-2-7b-w4 --benchmark 128 --check
The original's llama.py arguments work too: MODEL DATASET --eval, --benchmark N --check, ...)";

struct Arguments {
  sq::EvaluateModelOptions options;
  sq::CommonFlags flags;
  std::string dataset;  // the positional one
  std::string device = "auto", prompt, tokenize, baseline;
  bool evaluate = false;
  double max_increase_percent = 1;
};

void AddModelOptions(CLI::App& app, Arguments* arguments) {
  sq::EvaluateModelOptions& options = arguments->options;
  app.add_option("model", options.model, "Folder of the model")->required();
  sq::AddOpenOptions(app, &options.open);
  auto* load = app.add_option("--load", options.torch_file,
                              "The original's .pt file with the model's quantized layers");
  app.add_option("--wbits", options.bits, "Expected bits of the model; 16: not quantized");
  app.add_flag("--include-sparse,--include_sparse", options.include_sparse,
               "Check that the model has outliers")
      ->needs(load);
  app.add_option("data set", arguments->dataset,
                 "The same as --dataset; with --benchmark, its data set")
      ->group("");
  app.add_flag("--eval", arguments->evaluate,
               "Perplexity on the positional data set also with --benchmark")
      ->group("");
}

void AddPerplexityOptions(CLI::App& app, sq::EvaluateModelOptions* options) {
  app.add_option("--dataset", options->datasets,
                 "Perplexity on wikitext2, c4, c4-new, ptb, ptb-new, or a path: .txt, .jsonl, "
                 ".json, also compressed (.gz, .zst), or a folder of them; may be given several "
                 "times")
      ->take_all()
      ->allow_extra_args(false);
  sq::AddDataOptions(app, &options->data_dir, &options->text_field);
  app.add_option("--sequence-length", options->sequence_length, "Tokens per window")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--windows", options->windows, "Evaluate only the first N windows; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--save-tokens", options->save_tokens,
                 "Write the windows of the one --dataset here, in the format of --tokens");
  auto* tokens =
      app.add_option("--tokens", options->tokens, "JSON list of token-id lists, a window each");
  app.add_option("--logits", options->logits, "Write their logits to this .safetensors file")
      ->needs(tokens);
}

void AddMmluOptions(CLI::App& app, sq::MmluOptions* options) {
  auto* mmlu = app.add_option("--mmlu", options->folder,
                              "MMLU: folder of the original release, with dev/ and test/");
  app.add_option("--shots", options->shots, "Answered examples before each question")
      ->needs(mmlu)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--subjects", options->subjects, "Only these, such as anatomy,astronomy")
      ->needs(mmlu)
      ->delimiter(',');
  app.add_option("--mmlu-logits", options->logits,
                 "Write each question's logits of A to D to this .safetensors file")
      ->needs(mmlu);
}

void AddBenchmarkOptions(CLI::App& app, sq::BenchmarkOptions* options) {
  auto* benchmark =
      app.add_option("--benchmark", options->tokens,
                     "Time the decoding of this many tokens, one by one, from --tokens or else "
                     "the first --dataset (default: wikitext2)")
          ->check(CLI::PositiveNumber);
  app.add_option("--batch", options->batch, "Sequences decoded together")
      ->needs(benchmark)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--check", options->check, "Also report their perplexity")->needs(benchmark);
}

void AddTextOptions(CLI::App& app, Arguments* arguments) {
  app.add_option("--generate", arguments->prompt, "Continue this prompt greedily");
  app.add_option("--max-new-tokens", arguments->options.max_new_tokens,
                 "Maximum number of tokens to generate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--tokenize", arguments->tokenize,
                 "Print the token ids of the texts in this JSON file, nothing else");
}

void AddGateOptions(CLI::App& app, Arguments* arguments) {
  auto* gate =
      app.add_option("--baseline", arguments->baseline, "Compare with this earlier --json file");
  app.add_option("--max-increase-percent", arguments->max_increase_percent,
                 "Exit with 3 when a perplexity exceeds the baseline's by more than this")
      ->needs(gate)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddRunOptions(CLI::App& app, Arguments* arguments) {
  sq::AddDeviceOption(app, &arguments->device);
  sq::AddDtypeOption(app, &arguments->options.dtype,
                     "Precision of dense layers' matrix products; auto: bfloat16 where the device "
                     "supports it. On a CUDA device, quantized layers and token-by-token decoding "
                     "always use float16");
  sq::AddSizeOption(app, "--max-memory", &arguments->options.max_memory,
                    "For activations; the excess goes to a file, or from a CUDA device to host "
                    "memory (default: half of the free memory)");
  app.add_option("--json", arguments->flags.json, "Write the report to this file");
}

// Options of the original's llama.py that have no effect here.
void AddIgnoredOptions(CLI::App& app) {
  for (const char* name : {"--nsamples", "--seed", "--num_dense_channels"}) {
    app.add_option_function<int64_t>(
           name,
           [name](int64_t) {
             sq::LogInfo(sq::StrCat(name, " of the original has no effect here"));
           })
        ->group("");
  }
  app.add_flag_callback("--torch_profile",
                        [] { sq::LogInfo("--torch_profile of the original has no effect here"); })
      ->group("");
}

void PrintTokenIds(const Arguments& arguments) {
  const sq::EvaluateModelOptions& options = arguments.options;
  const nlohmann::json ids =
      sq::TokenizeFile(options.model, arguments.tokenize, options.text_field);
  std::printf("%s\n", ids.dump().c_str());
}

// Which data sets perplexity is measured on, and which one --benchmark decodes.
void ChooseDatasets(Arguments* arguments) {
  sq::EvaluateModelOptions& options = arguments->options;
  const std::string& positional = arguments->dataset;
  if (!positional.empty()) {
    options.benchmark.dataset = positional;
    if (arguments->evaluate || options.benchmark.tokens == 0) {
      options.datasets.insert(options.datasets.begin(), positional);
    }
  } else if (!options.datasets.empty()) {
    options.benchmark.dataset = options.datasets.front();
  }
}

int Run(const CLI::App& app, Arguments* arguments) {
  if (!arguments->tokenize.empty()) {
    PrintTokenIds(*arguments);
    return sq::kExitDone;
  }
  sq::EvaluateModelOptions& options = arguments->options;
  ChooseDatasets(arguments);
  if (app.count("--generate") > 0) options.generate = arguments->prompt;
  options.device = sq::UseDevice(arguments->device);
  const std::string& json = arguments->flags.json;
  if (!json.empty()) sq::CheckCanWrite(json);
  const std::string& baseline = arguments->baseline;
  nlohmann::ordered_json earlier;
  if (!baseline.empty()) earlier = sq::ReadBaseline(baseline);
  const nlohmann::ordered_json report = sq::EvaluateModel(options);
  std::printf("%s", sq::ReportText(report).c_str());
  if (!json.empty()) sq::WriteFile(json, report.dump(2) + "\n");
  if (baseline.empty()) return sq::kExitDone;
  const std::string worse =
      sq::CompareWithBaseline(report, earlier, baseline, arguments->max_increase_percent);
  std::fprintf(stderr, "%s", worse.c_str());
  return worse.empty() ? sq::kExitDone : sq::kExitGate;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Evaluates a model folder, full precision or quantized.");
  app.footer(kExamples);
  Arguments arguments;
  AddModelOptions(app, &arguments);
  AddPerplexityOptions(app, &arguments.options);
  AddMmluOptions(app, &arguments.options.mmlu);
  AddBenchmarkOptions(app, &arguments.options.benchmark);
  AddTextOptions(app, &arguments);
  AddGateOptions(app, &arguments);
  AddRunOptions(app, &arguments);
  AddIgnoredOptions(app);
  sq::AddCommonFlags(app, &arguments.flags);
  return sq::RunTool(app, argc, argv, arguments.flags,
                     "no results are reported; the next run starts over",
                     [&] { return Run(app, &arguments); });
}
