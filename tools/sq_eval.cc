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

// What llama.py of the original takes and has no effect here.
void AddUnusedOfTheOriginal(CLI::App& app) {
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Evaluates a model folder, full precision or quantized.");
  app.footer(kExamples);
  sq::EvaluateModelOptions options;
  sq::CommonFlags flags;
  std::string dataset, device = "auto", prompt, baseline, tokenize;
  bool evaluate = false;
  double max_increase_percent = 1;

  app.add_option("model", options.model, "Folder of the model")->required();
  sq::AddOpenOptions(app, &options.open);
  auto* load = app.add_option("--load", options.torch_file,
                              "The original's .pt file with the model's quantized layers");
  app.add_option("--wbits", options.bits, "Bits of the model, to be checked; 16: not quantized");
  app.add_flag("--include-sparse,--include_sparse", options.include_sparse,
               "Check that it has outliers")
      ->needs(load);
  app.add_option("data set", dataset, "The same as --dataset; with --benchmark, its data set")
      ->group("");
  app.add_flag("--eval", evaluate, "Perplexity on the positional data set also with --benchmark")
      ->group("");
  app.add_option(
         "--dataset", options.datasets,
         "Perplexity on wikitext2, c4, c4-new, ptb, ptb-new, or a path: .txt, .jsonl, .jsonl.gz or "
         "a folder of them; "
         "may be given several times")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--data-dir", options.data_dir, "Where named data sets lie [SQ_DATA_DIR]");
  app.add_option("--sequence-length", options.sequence_length, "Tokens of a window")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--windows", options.windows, "The first so many windows; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--save-tokens", options.save_tokens,
                 "Write the windows of the one --dataset here, in the format of --tokens");
  auto* tokens =
      app.add_option("--tokens", options.tokens, "JSON list of token-id lists: each a window");
  app.add_option("--logits", options.logits, "Write their logits to this .safetensors file")
      ->needs(tokens);
  auto* mmlu = app.add_option("--mmlu", options.mmlu.folder,
                              "MMLU: folder of the original release, with dev/ and test/");
  app.add_option("--shots", options.mmlu.shots, "Answered examples before each question")
      ->needs(mmlu)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--subjects", options.mmlu.subjects, "Only these, such as anatomy,astronomy")
      ->needs(mmlu)
      ->delimiter(',');
  app.add_option("--mmlu-logits", options.mmlu.logits,
                 "Write each question's logits of A to D to this .safetensors file")
      ->needs(mmlu);
  auto* benchmark =
      app.add_option("--benchmark", options.benchmark.tokens,
                     "Time the decoding of so many tokens, one by one; of --tokens, or of the "
                     "first --dataset, else wikitext2")
          ->check(CLI::PositiveNumber);
  app.add_option("--batch", options.benchmark.batch, "Sequences decoded together")
      ->needs(benchmark)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--check", options.benchmark.check, "Also their perplexity")->needs(benchmark);
  auto* generate = app.add_option("--generate", prompt, "Continue this prompt greedily");
  app.add_option("--max-new-tokens", options.max_new_tokens, "Tokens to generate at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--tokenize", tokenize,
                 "Print the token ids of the texts in this JSON list, nothing else");
  auto* gate = app.add_option("--baseline", baseline, "Compare with this earlier --json file");
  app.add_option("--max-increase-percent", max_increase_percent,
                 "Exit with 3 when a perplexity is higher than the baseline's by more")
      ->needs(gate)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sq::AddDeviceOption(app, &device);
  app.add_option("--dtype", options.dtype,
                 "Of dense layers' products; auto: bfloat16 where the device has it. On a CUDA "
                 "device quantized layers, and all that decodes token by token, take float16")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  sq::AddSizeOption(app, "--max-memory", &options.max_memory,
                    "For activations: more go to a file, or from a CUDA device to the host's "
                    "memory (default: half of what is free)");
  app.add_option("--json", flags.json, "Write the report here");
  AddUnusedOfTheOriginal(app);
  sq::AddCommonFlags(app, &flags);

  return sq::RunTool(app, argc, argv, flags, [&] {
    if (!tokenize.empty()) {
      std::printf("%s\n", nlohmann::json(sq::TokenizeFile(options.model, tokenize)).dump().c_str());
      return sq::kExitDone;
    }
    if (!dataset.empty()) {
      options.benchmark.dataset = dataset;
      if (evaluate || benchmark->count() == 0) {
        options.datasets.insert(options.datasets.begin(), dataset);
      }
    } else if (!options.datasets.empty()) {
      options.benchmark.dataset = options.datasets.front();
    }
    if (generate->count() > 0) options.generate = prompt;
    options.device = sq::UseDevice(device);
    const nlohmann::ordered_json report = sq::EvaluateModel(options);
    std::printf("%s", sq::ReportText(report).c_str());
    if (!flags.json.empty()) sq::WriteFile(flags.json, report.dump(2) + "\n");
    if (baseline.empty()) return sq::kExitDone;
    const std::string worse = sq::CompareWithBaseline(report, baseline, max_increase_percent);
    std::fprintf(stderr, "%s", worse.c_str());
    return worse.empty() ? sq::kExitDone : sq::kExitGate;
  });
}
