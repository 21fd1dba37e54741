// sq-quantize: flags -> QuantizeModelOptions -> QuantizeModel -> report.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/pipeline/progress.h"
#include "sq/pipeline/quantize_model.h"
#include "tools/cli.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  sq-quantize models/llama-2-7b --output llama-2-7b-w4 --bits 4
  sq-quantize models/llama-2-7b --output llama-2-7b-w3-s45 --bits 3 --sparsity-percent 0.45
  sq-quantize models/llama-2-7b --output out --calibration self          no data set needed
  sq-quantize models/llama-2-7b --output out --calibration my-texts/ --samples 64
  sq-quantize models/llama-2-7b --output out --resume                    go on after an interruption)";

void Print(const nlohmann::ordered_json& report, const std::string& output) {
  std::printf("%s: %d bits, %.2f bits per weight, %.3f %% outliers, %s (from %s)\n", output.c_str(),
              report["bits"].get<int>(), report["bits_per_weight"].get<double>(),
              report["sparsity_percent"].get<double>(),
              sq::BytesText(report["bytes"].get<int64_t>()).c_str(),
              sq::BytesText(report["model_bytes"].get<int64_t>()).c_str());
  std::printf("sum of fisher * (q - w)^2: %.6g", report["distortion"].get<double>());
  const auto sampled = report.value("rows_sampled", int64_t{0});
  if (sampled > 0) {
    std::printf("; without a sparse part %.6g, estimated from %lld of %lld rows",
                report["distortion_without_outliers"].get<double>(),
                static_cast<long long>(sampled),
                static_cast<long long>(report["rows_with_outliers"].get<int64_t>()));
  }
  std::printf("\n");
  std::printf("%s in all: Fisher %s, k-means %s; peak memory %s\n",
              sq::SecondsText(report["seconds"]["total"].get<double>()).c_str(),
              sq::SecondsText(report["seconds"]["fisher"].get<double>()).c_str(),
              sq::SecondsText(report["seconds"]["kmeans"].get<double>()).c_str(),
              sq::BytesText(report["peak_memory_bytes"].get<int64_t>()).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantizes a Hugging Face checkpoint to 2, 3 or 4 bits with exact outliers.");
  app.footer(kExamples);
  sq::QuantizeModelOptions options;
  sq::CommonFlags flags;
  double sparsity_percent = 0, sensitive_percent = 0, outlier_percent = 0;
  std::string device = "auto";

  app.add_option("model", options.model, "Folder of the model: config.json, safetensors, tokenizer")
      ->required();
  sq::AddOpenOptions(app, &options.open);
  app.add_option("--output,-o", options.output, "Folder to be made")->required();
  app.add_option("--bits", options.bits, "Bits of an index: 3 or 4 (2 as an extra)")
      ->check(CLI::Range(2, 4))
      ->capture_default_str();
  auto* sparsity =
      app.add_option("--sparsity-percent", sparsity_percent,
                     "Weights kept exact, in percent: 0, 0.05 and 0.45 are the paper's "
                     "levels. Up to 0.05 the most sensitive, the rest by magnitude")
          ->check(CLI::Range(0.0, 100.0))
          ->capture_default_str();
  app.add_option("--sensitive-percent", sensitive_percent,
                 "Weights kept exact for their sensitivity")
      ->check(CLI::Range(0.0, 100.0))
      ->excludes(sparsity);
  auto* by_count =
      app.add_option("--outlier-percent", outlier_percent, "Weights kept exact for their magnitude")
          ->check(CLI::Range(0.0, 100.0))
          ->excludes(sparsity);
  app.add_option("--outlier-range", options.outliers.outlier_range,
                 "Keep weights exact beyond so many interquartile ranges (the original's rule)")
      ->check(CLI::PositiveNumber)
      ->excludes(sparsity)
      ->excludes(by_count);
  auto* calibration =
      app.add_option(
             "--calibration", options.calibration,
             "c4, wikitext2, ptb, ptb-new, self (the model samples its own text), or a path: .txt, "
             ".jsonl, .json (texts, or lists of token ids), packed too (.gz, .zst), or a folder")
          ->capture_default_str();
  app.add_option("--data-dir", options.data_dir, "Where named data sets lie [SQ_DATA_DIR]");
  sq::AddTextFieldOption(app, &options.text_field);
  app.add_option("--samples", options.samples, "Calibration samples")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--sequence-length", options.sequence_length, "Tokens of a sample")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of all that is drawn")->capture_default_str();
  auto* sensitivity = app.add_option("--sensitivity", options.sensitivity,
                                     "Squared gradients of an earlier run instead of a Fisher pass")
                          ->excludes(calibration);
  auto* uniform = app.add_flag("--uniform-sensitivity", options.uniform_sensitivity,
                               "Plain k-means, no calibration")
                      ->excludes(calibration)
                      ->excludes(sensitivity);
  app.add_option("--save-sensitivity", options.save_sensitivity,
                 "Folder to be made of the squared gradients")
      ->excludes(sensitivity)
      ->excludes(uniform);
  sq::AddDeviceOption(app, &device);
  app.add_option("--dtype", options.dtype,
                 "Of the Fisher pass's products; auto: bfloat16 where the device has it")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  sq::AddSizeOption(app, "--max-memory", &options.max_memory,
                    "For activations: more go to the work folder, or from a CUDA device to the "
                    "host's memory (default: half of what is free)");
  app.add_option("--work-dir", options.work_dir, "State of the run (default: OUTPUT.work)");
  app.add_flag("--resume", options.resume, "Go on with an interrupted run");
  app.add_option("--json", flags.json, "Write the report here too");
  sq::AddCommonFlags(app, &flags);

  return sq::RunTool(app, argc, argv, flags, [&] {
    options.device = sq::UseDevice(device);
    if (sparsity->count() > 0) {
      options.outliers = sq::SparsityLevels(sparsity_percent);
    } else {
      options.outliers.sensitive_fraction = sensitive_percent / 100;
      options.outliers.outlier_fraction = outlier_percent / 100;
    }
    // A folder that this run makes cannot be written to yet.
    if (!flags.json.empty() && !sq::IsWithin(flags.json, options.output)) {
      sq::CheckCanWrite(flags.json);
    }
    const nlohmann::ordered_json report = sq::QuantizeModel(options);
    Print(report, options.output);
    if (!flags.json.empty()) sq::WriteFile(flags.json, report.dump(2) + "\n");
    return sq::kExitDone;
  });
}
