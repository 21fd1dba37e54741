#include "sq/pipeline/quantize_model.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/cpu.h"
#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/base/parallel.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/calib/fisher.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/kernels/cuda_kmeans.h"
#include "sq/model/matmul_precision.h"
#include "sq/model/runtime.h"
#include "sq/pipeline/calibration.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/output_folder.h"
#include "sq/pipeline/progress.h"
#include "sq/pipeline/run_folder.h"
#include "sq/quant/quantize_layer.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSecondsBetweenGradients = 30;  // a run that is killed loses about this much

// Where the sensitivities of a layer come from; a tensor is undefined when all weights count the
// same.
using LayerSensitivity = std::array<at::Tensor, kProjections>;

// All that decides the result, for a resumed run to be checked against.
Json Request(const QuantizeModelOptions& options, const Model& model, bool bfloat16) {
  Json request = {{"model", std::filesystem::weakly_canonical(options.model).string()},
                  {"model_bytes", model.store.TotalBytes()},
                  {"bits", options.bits},
                  {"sensitive_fraction", options.outliers.sensitive_fraction},
                  {"outlier_fraction", options.outliers.outlier_fraction},
                  {"outlier_range", options.outliers.outlier_range}};
  if (options.uniform_sensitivity) {
    request["sensitivity"] = "uniform";
  } else if (!options.sensitivity.empty()) {
    request["sensitivity"] = std::filesystem::weakly_canonical(options.sensitivity).string();
  } else {
    request["sensitivity"] = "fisher";
    request["calibration"] = options.calibration;
    request["samples"] = options.samples;
    request["sequence_length"] = options.sequence_length;
    request["seed"] = options.seed;
    request["dtype"] = bfloat16 ? "bfloat16" : "float32";
    // Sums come in another order on another kind of device; k-means gives the same bytes on any.
    request["device"] = DeviceKind(options.device);
  }
  request["ignore_config_fields"] = options.open.ignore_config_fields;
  request["save_sensitivity"] = !options.save_sensitivity.empty();
  return request;
}

MatrixView<const float> View(const at::Tensor& matrix) {
  if (!matrix.defined()) return {};
  return {matrix.const_data_ptr<float>(), matrix.size(0), matrix.size(1)};
}

TensorView FileView(const std::string& name, const at::Tensor& tensor) {
  return {name, DType::kF32, tensor.sizes().vec(), tensor.const_data_ptr(),
          static_cast<int64_t>(tensor.nbytes())};
}

Json Statistics(const LinearInfo& linear, const QuantizedLayer& quantized) {
  const QuantizeStats& stats = quantized.stats;
  Json json = {{"name", linear.name},
               {"bits", quantized.layer.bits},
               {"weights", stats.weights},
               {"sensitive_outliers", stats.sensitive_outliers},
               {"magnitude_outliers", stats.magnitude_outliers},
               {"nonzeros", stats.NonZeros()},
               {"bytes", PackedBytes(quantized.layer)},
               {"distortion", stats.distortion.weighted},
               {"squared_error", stats.distortion.squared_error}};
  if (stats.dense_distortion) {
    json["distortion_without_outliers"] = stats.dense_distortion->weighted;
  }
  json["seconds"] = stats.seconds;
  return json;
}

QuantizeOptions LayerOptions(const QuantizeModelOptions& options) {
  QuantizeOptions quantize;
  quantize.bits = options.bits;
  quantize.outliers = options.outliers;
  quantize.report_dense_distortion = true;
  if (options.device.cuda) quantize.cluster_rows = CudaRowClusterer();
  return quantize;
}

// Quantizes the matrices of one decoder layer and writes them to the run's folder.
void QuantizeDecoderLayer(const Model& model, int64_t layer, const LayerSensitivity& sensitivity,
                          const QuantizeOptions& quantize, const RunFolder& run) {
  std::vector<QuantizedLayer> results;
  Json statistics = Json::array();
  const std::vector<LinearInfo> linears = LayerLinears(model.config, layer);
  for (const LinearInfo& linear : linears) {
    const std::string name = linear.name + ".weight";
    const at::Tensor weight =
        LoadFloats(model.store.Get(name), {linear.out_features, linear.in_features});
    const at::Tensor& fisher = sensitivity[static_cast<size_t>(linear.projection)];
    results.push_back(
        QuantizeLayer(View(weight), View(fisher), quantize, model.store.Get(name).Where()));
    if (linear.bias) {
      std::vector<float>& bias = results.back().layer.bias;
      bias.resize(static_cast<size_t>(linear.out_features));
      const FileTensor& tensor = model.store.Get(linear.name + ".bias");
      CheckShape(tensor, {linear.out_features});
      ReadFloats(tensor, 0, linear.out_features, bias.data());
    }
    statistics.push_back(Statistics(linear, results.back()));
  }
  std::vector<TensorView> tensors;
  for (size_t i = 0; i < linears.size(); ++i) {
    for (const TensorView& tensor : PackedTensors(results[i].layer, linears[i].name)) {
      tensors.push_back(tensor);
    }
  }
  run.WriteLayer(layer, tensors, statistics);
}

void KeepSensitivity(const Model& model, int64_t layer, const LayerSensitivity& sensitivity,
                     const RunFolder& run) {
  std::vector<TensorView> tensors;
  for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
    tensors.push_back(
        FileView(linear.name + ".weight", sensitivity[static_cast<size_t>(linear.projection)]));
  }
  run.WriteSensitivity(layer, tensors);
}

struct CalibrationReport {
  Json json;
  double fisher_seconds = 0;
};

// Layers from the last to the first, each quantized as soon as its Fisher matrices are there.
void RunFisherPass(const Model& model, const QuantizeModelOptions& options, const RunFolder& run,
                   FisherPass* pass, CalibrationReport* report) {
  const bool keep = !options.save_sensitivity.empty();
  const auto finished = [&](int64_t layer) {
    return run.HasLayer(layer) && (!keep || run.HasSensitivity(layer));
  };

  Stopwatch fisher_watch;
  const std::optional<RunFolder::Gradient> saved = run.ReadGradient();
  const int64_t last = saved ? saved->layer : model.config.num_layers - 1;
  SQ_CHECK(last < model.config.num_layers, saved->tensor.Where(), ": of layer ", last,
           ", but the model has ", model.config.num_layers);
  {
    Progress progress("forward pass", "layer", last + 1);
    pass->Forward(last + 1, [&](int64_t done) {
      progress.Update(done);
      StopIfInterrupted();
    });
  }
  double loss = 0;
  if (saved) {
    pass->set_gradient(LoadFloats(saved->tensor, saved->tensor.shape));
    loss = saved->loss;
  } else {
    loss = pass->Loss();
    SQ_CHECK(std::isfinite(loss), model.folder, ": the calibration loss is ", loss);
    LogInfo(StrCat("calibration loss ", loss, " nats per token"));
  }
  report->json["loss"] = loss;
  report->fisher_seconds += fisher_watch.Seconds();

  const QuantizeOptions quantize = LayerOptions(options);
  Progress progress("quantizing", "layer", last + 1);
  Stopwatch since_gradient;
  const auto save_gradient = [&](int64_t layer) {
    const at::Tensor gradient = pass->gradient();
    run.WriteGradient(layer, loss, FileView("gradient", gradient));
    since_gradient = Stopwatch();
  };
  for (int64_t layer = last; layer >= 0; --layer) {
    fisher_watch = Stopwatch();
    if (finished(layer)) {
      pass->Backward(layer, nullptr);
      report->fisher_seconds += fisher_watch.Seconds();
    } else {
      LayerSensitivity fisher;
      pass->Backward(layer, &fisher);
      report->fisher_seconds += fisher_watch.Seconds();
      if (keep) KeepSensitivity(model, layer, fisher, run);
      QuantizeDecoderLayer(model, layer, fisher, quantize, run);
    }
    progress.Update(last + 1 - layer);
    if (layer == 0) break;
    if (InterruptRequested() || since_gradient.Seconds() > kSecondsBetweenGradients) {
      save_gradient(layer - 1);
    }
    StopIfInterrupted();
  }
}

// Fisher information from calibration samples.
CalibrationReport QuantizeByFisher(const Model& model, const QuantizeModelOptions& options,
                                   bool bfloat16, const RunFolder& run) {
  const Stopwatch watch;
  std::optional<RunFolder::Samples> samples = run.ReadSamples();
  if (!samples) {
    samples = LoadCalibration(model, options);
    run.WriteSamples(*samples);
  }
  CalibrationReport report;
  int64_t tokens = 0;
  for (const auto& sample : *samples) tokens += static_cast<int64_t>(sample.size());
  report.json = {{"source", options.calibration},
                 {"samples", samples->size()},
                 {"tokens", tokens},
                 {"seed", options.seed},
                 {"device", DeviceName(options.device)},
                 {"dtype", bfloat16 ? "bfloat16" : "float32"},
                 {"sampling_seconds", watch.Seconds()}};
  LogInfo(StrCat("calibration: ", samples->size(), " samples, ", tokens, " tokens of ",
                 options.calibration, ", multiplied in ", bfloat16 ? "bfloat16" : "float32"));

  FisherOptions fisher_options;
  fisher_options.device = options.device;
  fisher_options.bfloat16 = bfloat16;
  fisher_options.activations = MemoryWithin(options.max_memory, options.device, run.path());
  FisherPass pass(model, std::move(*samples), fisher_options);
  WithMemoryAdvice(pass.MemoryAdvice(),
                   [&] { RunFisherPass(model, options, run, &pass, &report); });
  return report;
}

// Sensitivities that are there already, or none: layers in any order, so from the first to the
// last.
void QuantizeBySensitivity(const Model& model, const QuantizeModelOptions& options,
                           const RunFolder& run) {
  std::optional<TensorStore> store;
  if (!options.uniform_sensitivity) store = TensorStore::Open(options.sensitivity);
  const QuantizeOptions quantize = LayerOptions(options);
  Progress progress("quantizing", "layer", model.config.num_layers);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    if (!run.HasLayer(layer)) {
      LayerSensitivity sensitivity;
      if (store) {
        for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
          sensitivity[static_cast<size_t>(linear.projection)] = LoadFloats(
              store->Get(linear.name + ".weight"), {linear.out_features, linear.in_features});
        }
      }
      QuantizeDecoderLayer(model, layer, sensitivity, quantize, run);
    }
    progress.Update(layer + 1);
    StopIfInterrupted();
  }
}

// The statistics of all layers, and their sums.
void AddLayers(const Model& model, const RunFolder& run, Json* report) {
  Json layers = Json::array();
  double distortion = 0, dense = 0, seconds = 0;
  int64_t weights = 0, nonzeros = 0, bytes = 0;
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    const Json statistics = run.LayerStatistics(layer);
    for (const Json& entry : statistics) {
      distortion += entry["distortion"].get<double>();
      dense += entry.value("distortion_without_outliers", entry["distortion"].get<double>());
      seconds += entry["seconds"].get<double>();
      weights += entry["weights"].get<int64_t>();
      nonzeros += entry["nonzeros"].get<int64_t>();
      bytes += entry["bytes"].get<int64_t>();
      layers.push_back(entry);
    }
  }
  (*report)["weights"] = weights;
  (*report)["nonzeros"] = nonzeros;
  (*report)["sparsity_percent"] =
      100.0 * static_cast<double>(nonzeros) / static_cast<double>(weights);
  (*report)["bits_per_weight"] = 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  (*report)["distortion"] = distortion;
  (*report)["distortion_without_outliers"] = dense;
  (*report)["seconds"]["kmeans"] = seconds;
  (*report)["layers"] = layers;
}

// Quantizes what the run's folder does not have yet, and makes the output of all. Returns the
// report.
Json QuantizeRest(const Model& model, const QuantizeModelOptions& options, const Json& request,
                  bool bfloat16, const RunFolder& run) {
  const Stopwatch watch;
  Json report = {{"model", options.model}, {"version", Version()}, {"libtorch", LibTorchVersion()}};
  report["options"] = request;
  report["bits"] = options.bits;
  report["threads"] = ThreadCount();
  report["cpu"] = CpuText();
  report["device"] = DeviceName(options.device);
  double fisher_seconds = 0;
  if (options.uniform_sensitivity) {
    report["sensitivity"] = "uniform";
    QuantizeBySensitivity(model, options, run);
  } else if (!options.sensitivity.empty()) {
    report["sensitivity"] = options.sensitivity;
    QuantizeBySensitivity(model, options, run);
  } else {
    const CalibrationReport calibration = QuantizeByFisher(model, options, bfloat16, run);
    report["calibration"] = calibration.json;
    fisher_seconds = calibration.fisher_seconds;
  }
  report["seconds"] = {{"fisher", fisher_seconds}};
  AddLayers(model, run, &report);

  OutputFolder output(options.output);
  std::optional<OutputFolder> sensitivity;
  const QuantizationInfo info{options.bits, options.outliers.sensitive_fraction,
                              options.outliers.outlier_fraction,
                              /*own_head=*/!model.config.tie_word_embeddings};
  report["bytes"] = AssembleQuantized(model, run, info, output.temporary());
  report["model_bytes"] = model.store.TotalBytes();
  if (!options.save_sensitivity.empty()) {
    sensitivity.emplace(options.save_sensitivity);
    AssembleSensitivity(run, model.config.num_layers, sensitivity->temporary());
  }
  report["seconds"]["total"] = watch.Seconds();
  report["peak_memory_bytes"] = PeakResidentBytes();
  WriteFile(std::filesystem::path(output.temporary()) / "report.json", report.dump(2) + "\n");
  output.Commit();
  if (sensitivity) sensitivity->Commit();
  run.Remove();
  return report;
}

// Found before any work rather than after hours: a part that the result cannot have.
void CheckInput(const Model& model, const QuantizeModelOptions& options) {
  if (!options.sensitivity.empty()) {
    const TensorStore sensitivity = TensorStore::Open(options.sensitivity);
    CheckSensitivity(model, sensitivity);
    CheckValues(sensitivity);
  }
  CheckValues(model.store);
}

}  // namespace

Json QuantizeModel(const QuantizeModelOptions& options) {
  const std::string work =
      options.work_dir.empty() ? WithoutTrailingSlash(options.output) + ".work" : options.work_dir;
  const std::string report_path = std::filesystem::path(options.output) / "report.json";
  // A run that was stopped between its last steps has its output already.
  const bool done =
      options.resume && RunFolder::IsRun(work) && std::filesystem::exists(report_path);
  if (!done) {
    CheckFree(options.output);
    if (!options.save_sensitivity.empty()) CheckFree(options.save_sensitivity);
  }
  const Model model = OpenModel(options.model, options.open);
  LogWarnings(model);
  CheckQuantizable(model);
  if (!done) CheckInput(model, options);
  const bool bfloat16 = WantsBfloat16(options.dtype, options.device);
  const Json request = Request(options, model, bfloat16);
  const RunFolder run(work, request, options.resume);
  if (done) {
    if (!options.save_sensitivity.empty() && !std::filesystem::exists(options.save_sensitivity)) {
      OutputFolder sensitivity(options.save_sensitivity);
      AssembleSensitivity(run, model.config.num_layers, sensitivity.temporary());
      sensitivity.Commit();
    }
    run.Remove();
    return ReadJsonFile(report_path);
  }
  try {
    return QuantizeRest(model, options, request, bfloat16, run);
  } catch (...) {
    int64_t layers = 0;
    for (int64_t layer = 0; layer < model.config.num_layers; ++layer) layers += run.HasLayer(layer);
    if (layers > 0) {
      LogInfo(StrCat(work, " keeps ", layers, " of ", model.config.num_layers,
                     " layers: --resume goes on from there"));
    }
    throw;
  }
}

}  // namespace sq
