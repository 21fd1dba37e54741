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
  sq-quantize models/llama-2-7b --output out --resume                    continue an interrupted run)";

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

struct Arguments {
  sq::QuantizeModelOptions options;
  sq::CommonFlags flags;
  double sparsity_percent = 0, sensitive_percent = 0, outlier_percent = 0;
  std::string device = "auto";
};

void AddOutlierOptions(CLI::App& app, Arguments* arguments) {
  auto* sparsity =
      app.add_option("--sparsity-percent", arguments->sparsity_percent,
                     "Weights kept exact, in percent: 0, 0.05 and 0.45 are the paper's levels. Up "
                     "to 0.05 the most sensitive, the rest by magnitude")
          ->check(CLI::Range(0.0, 100.0))
          ->capture_default_str();
  app.add_option("--sensitive-percent", arguments->sensitive_percent,
                 "Weights kept exact for their sensitivity")
      ->check(CLI::Range(0.0, 100.0))
      ->excludes(sparsity);
  auto* by_count = app.add_option("--outlier-percent", arguments->outlier_percent,
                                  "Weights kept exact for their magnitude")
                       ->check(CLI::Range(0.0, 100.0))
                       ->excludes(sparsity);
  app.add_option("--outlier-range", arguments->options.outliers.outlier_range,
                 "Keep weights exact beyond this many interquartile ranges (the original's rule)")
      ->check(CLI::PositiveNumber)
      ->excludes(sparsity)
      ->excludes(by_count);
}

void AddCalibrationOptions(CLI::App& app, sq::QuantizeModelOptions* options) {
  auto* calibration =
      app.add_option("--calibration", options->calibration,
                     "c4, wikitext2, ptb, ptb-new, self (the model samples its own text), or a "
                     "path: .txt, .jsonl, .json (texts, or lists of token ids), also compressed "
                     "(.gz, .zst), or a folder")
          ->capture_default_str();
  sq::AddDataOptions(app, &options->data_dir, &options->text_field);
  app.add_option("--samples", options->samples, "Number of calibration samples")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--sequence-length", options->sequence_length, "Tokens per sample")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--seed", options->seed, "Seed of all random choices")->capture_default_str();
  auto* sensitivity = app.add_option("--sensitivity", options->sensitivity,
                                     "Squared gradients of an earlier run instead of a Fisher pass")
                          ->excludes(calibration);
  auto* uniform = app.add_flag("--uniform-sensitivity", options->uniform_sensitivity,
                               "Plain k-means, no calibration")
                      ->excludes(calibration)
                      ->excludes(sensitivity);
  app.add_option("--save-sensitivity", options->save_sensitivity,
                 "Folder to create with the squared gradients")
      ->excludes(sensitivity)
      ->excludes(uniform);
}

void AddRunOptions(CLI::App& app, Arguments* arguments) {
  sq::QuantizeModelOptions& options = arguments->options;
  sq::AddDeviceOption(app, &arguments->device);
  sq::AddDtypeOption(
      app, &options.dtype,
      "Precision of the Fisher pass's matrix products; auto: bfloat16 where the device "
      "supports it");
  sq::AddSizeOption(app, "--max-memory", &options.max_memory,
                    "For activations; the excess goes to the work folder, or from a CUDA device to "
                    "host memory (default: half of the free memory)");
  app.add_option("--work-dir", options.work_dir, "State of the run (default: OUTPUT.work)");
  app.add_flag("--resume", options.resume, "Continue an interrupted run");
  app.add_option("--json", arguments->flags.json, "Also write the report to this file");
  sq::AddCommonFlags(app, &arguments->flags);
}

int Run(const CLI::App& app, Arguments* arguments) {
  sq::QuantizeModelOptions& options = arguments->options;
  options.device = sq::UseDevice(arguments->device);
  if (app.count("--sparsity-percent") > 0) {
    options.outliers = sq::SparsityLevels(arguments->sparsity_percent);
  } else {
    options.outliers.sensitive_fraction = arguments->sensitive_percent / 100;
    options.outliers.outlier_fraction = arguments->outlier_percent / 100;
  }
  const std::string& json = arguments->flags.json;
  // A report inside the output folder cannot be tried yet: the run creates that folder.
  if (!json.empty() && !sq::IsWithin(json, options.output)) sq::CheckCanWrite(json);
  const nlohmann::ordered_json report = sq::QuantizeModel(options);
  Print(report, options.output);
  if (!json.empty()) sq::WriteFile(json, report.dump(2) + "\n");
  return sq::kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantizes a Hugging Face checkpoint to 2, 3 or 4 bits with exact outliers.");
  app.footer(kExamples);
  Arguments arguments;
  sq::QuantizeModelOptions& options = arguments.options;
  app.add_option("model", options.model, "Folder of the model: config.json, safetensors, tokenizer")
      ->required();
  sq::AddOpenOptions(app, &options.open);
  app.add_option("--output,-o", options.output, "Folder to create")->required();
  app.add_option("--bits", options.bits, "Bits per index: 3 or 4 (2 as an extra)")
      ->check(CLI::Range(2, 4))
      ->capture_default_str();
  AddOutlierOptions(app, &arguments);
  AddCalibrationOptions(app, &options);
  AddRunOptions(app, &arguments);
  const std::string on_interrupt =
      "to resume from what is finished, " + sq::RerunHint(argc, argv, "--resume");
  return sq::RunTool(app, argc, argv, arguments.flags, on_interrupt,
                     [&] { return Run(app, &arguments); });
}
