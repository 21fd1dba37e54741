#include "sq/pipeline/quantize_model.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/cpu.h"
#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/base/parallel.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/runtime.h"
#include "sq/pipeline/calibrate.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/output_folder.h"
#include "sq/pipeline/quantize_inputs.h"
#include "sq/pipeline/quantize_stage.h"
#include "sq/pipeline/run_folder.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;

struct Outputs {
  std::optional<OutputFolder> quantized, sensitivity;  // those that are not there yet
};

// Takes the places of the outputs. `done`: the quantized folder is there already.
void Claim(const QuantizeModelOptions& options, bool done, Outputs* outputs) {
  SQ_CHECK(options.save_sensitivity.empty() ||
               std::filesystem::weakly_canonical(options.save_sensitivity) !=
                   std::filesystem::weakly_canonical(options.output),
           options.save_sensitivity, ": is to be the quantized folder already");
  if (!done) outputs->quantized.emplace(options.output);
  if (options.save_sensitivity.empty()) return;
  if (!done || !FileExists(options.save_sensitivity)) {
    outputs->sensitivity.emplace(options.save_sensitivity);
  }
}

void RemoveWork(RunFolder* run) {
  if (!run->Remove()) LogWarning(run->path() + ": not all of it could be removed");
}

// Quantizes what the run's folder does not have yet, and makes the outputs of all. Returns the
// report.
Json QuantizeRest(const QuantizeInputs& inputs, const QuantizeModelOptions& options,
                  const RunFolder& run, const Stopwatch& watch, Outputs* outputs) {
  const Model& model = inputs.model;
  Json report = {{"model", options.model}, {"version", Version()}, {"libtorch", LibTorchVersion()}};
  report["options"] = inputs.request;
  report["bits"] = options.bits;
  report["threads"] = ThreadCount();
  report["cpu"] = CpuText();
  report["device"] = DeviceName(options.device);
  if (options.uniform_sensitivity) {
    report["sensitivity"] = "uniform";
  } else if (!options.sensitivity.empty()) {
    report["sensitivity"] = options.sensitivity;
  }
  const QuantizeStage quantize(model, options, UniformBits(model.config, options.bits), run);
  const CalibrationReport calibration =
      Calibrate(inputs, options, run, [&](int64_t layer, const LayerSensitivity& sensitivity) {
        quantize.Run(layer, sensitivity);
      });
  if (HasFisherPass(options)) report["calibration"] = calibration.json;
  report["seconds"] = {{"fisher", calibration.fisher_seconds}};
  ReportLayers(run, model.config.num_layers, &report);

  const QuantizationInfo info{options.bits, options.outliers.sensitive_fraction,
                              options.outliers.outlier_fraction,
                              /*own_head=*/!model.config.tie_word_embeddings};
  const std::string folder = outputs->quantized->temporary();
  report["bytes"] = AssembleQuantized(model, run, info, folder);
  report["model_bytes"] = model.store.TotalBytes();
  report["seconds"]["total"] = watch.Seconds();
  report["peak_memory_bytes"] = PeakResidentBytes();
  WriteFile(std::filesystem::path(folder) / "report.json", report.dump(2) + "\n");
  if (outputs->sensitivity) {
    AssembleSensitivity(run, model.config.num_layers, outputs->sensitivity->temporary());
  }
  outputs->quantized->Commit();
  if (outputs->sensitivity) outputs->sensitivity->Commit();
  return report;
}

}  // namespace

Json QuantizeModel(const QuantizeModelOptions& options) {
  const Stopwatch watch;
  const std::string work =
      options.work_dir.empty() ? DefaultWorkFolder(options.output) : options.work_dir;
  // A run that was stopped between its last steps has its output already.
  const std::filesystem::path output = options.output;
  const bool goes_on = options.resume && RunFolder::IsRun(work);
  const bool done =
      goes_on && FileExists(output / "report.json") && FileExists(output / "config.json");
  Outputs outputs;
  Claim(options, done, &outputs);
  QuantizeInputs inputs = PrepareInputs(options, goes_on);
  LogWarnings(inputs.model);
  const int64_t layers = inputs.model.config.num_layers;
  RunFolder run(work, inputs.request, options.resume);
  Json report;
  if (done) {
    if (outputs.sensitivity) {
      AssembleSensitivity(run, layers, outputs.sensitivity->temporary());
      outputs.sensitivity->Commit();
    }
    report = ReadJsonFile(output / "report.json");
  } else {
    try {
      report = QuantizeRest(inputs, options, run, watch, &outputs);
    } catch (...) {
      int64_t finished = 0;
      for (int64_t layer = 0; layer < layers; ++layer) finished += run.HasLayer(layer);
      if (finished > 0) {
        LogInfo(StrCat(work, " keeps ", finished, " of ", layers,
                       " layers: --resume goes on from there"));
      }
      throw;
    }
  }
  RemoveWork(&run);
  return report;
}

}  // namespace sq
