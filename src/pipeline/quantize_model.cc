#include "sq/pipeline/quantize_model.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
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
#include "sq/calib/fisher.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/kernels/cuda_kmeans.h"
#include "sq/model/runtime.h"
#include "sq/pipeline/calibration.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/output_folder.h"
#include "sq/pipeline/progress.h"
#include "sq/pipeline/quantize_inputs.h"
#include "sq/pipeline/run_folder.h"
#include "sq/quant/quantize_layer.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kDenseRows = 64;  // of each matrix, for the report's distortion without outliers
constexpr double kSecondsBetweenGradients = 30;  // a run that is killed loses about this much

// Where the sensitivities of a layer come from; a tensor is undefined when all weights count the
// same.
using LayerSensitivity = std::array<at::Tensor, kProjections>;

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
    const DenseDistortion& dense = *stats.dense_distortion;
    json["distortion_without_outliers"] = dense.weighted;
    json["rows_with_outliers"] = dense.rows_with_outliers;
    json["rows_sampled"] = dense.rows_clustered;
  }
  json["seconds"] = stats.seconds;
  return json;
}

QuantizeOptions LayerOptions(const QuantizeModelOptions& options) {
  QuantizeOptions quantize;
  quantize.bits = options.bits;
  quantize.outliers = options.outliers;
  quantize.dense_distortion_rows = kDenseRows;
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
  std::optional<RunFolder::Gradient> saved = run.ReadGradient();
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
    saved.reset();  // its file is to be replaced, which not every file system does while it is open
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
CalibrationReport QuantizeByFisher(QuantizeInputs inputs, const QuantizeModelOptions& options,
                                   const RunFolder& run) {
  const Model& model = inputs.model;
  const Stopwatch watch;
  if (!inputs.samples) inputs.samples = run.ReadSamples();
  if (!inputs.samples) {
    inputs.samples = LoadCalibration(model, options);
    run.WriteSamples(*inputs.samples);
  }
  CalibrationReport report;
  int64_t tokens = 0;
  for (const auto& sample : *inputs.samples) tokens += static_cast<int64_t>(sample.size());
  const char* dtype = inputs.bfloat16 ? "bfloat16" : "float32";
  report.json = {{"source", options.calibration},
                 {"samples", inputs.samples->size()},
                 {"tokens", tokens},
                 {"seed", options.seed},
                 {"device", DeviceName(options.device)},
                 {"dtype", dtype},
                 {"sampling_seconds", inputs.sampling_seconds + watch.Seconds()}};
  LogInfo(StrCat("calibration: ", inputs.samples->size(), " samples, ", tokens, " tokens of ",
                 options.calibration, ", multiplied in ", dtype));

  FisherOptions fisher_options;
  fisher_options.device = options.device;
  fisher_options.bfloat16 = inputs.bfloat16;
  fisher_options.activations = MemoryWithin(options.max_memory, options.device, run.path());
  FisherPass pass(model, std::move(*inputs.samples), fisher_options);
  WithMemoryAdvice(pass.MemoryAdvice(),
                   [&] { RunFisherPass(model, options, run, &pass, &report); });
  return report;
}

// Sensitivities that are there already, or none: layers in any order, so from the first to the
// last.
void QuantizeBySensitivity(const Model& model, const QuantizeModelOptions& options,
                           const std::optional<TensorStore>& store, const RunFolder& run) {
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
  int64_t weights = 0, nonzeros = 0, bytes = 0, rows_with_outliers = 0, rows_sampled = 0;
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    const Json statistics = run.LayerStatistics(layer);
    for (const Json& entry : statistics) {
      distortion += entry["distortion"].get<double>();
      dense += entry.value("distortion_without_outliers", entry["distortion"].get<double>());
      rows_with_outliers += entry.value("rows_with_outliers", int64_t{0});
      rows_sampled += entry.value("rows_sampled", int64_t{0});
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
  (*report)["rows_with_outliers"] = rows_with_outliers;
  (*report)["rows_sampled"] = rows_sampled;
  (*report)["seconds"]["kmeans"] = seconds;
  (*report)["layers"] = layers;
}

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
  double fisher_seconds = 0;
  if (!HasFisherPass(options)) {
    report["sensitivity"] = options.uniform_sensitivity ? "uniform" : options.sensitivity;
    QuantizeBySensitivity(model, options, inputs.sensitivity, run);
  } else {
    const CalibrationReport calibration = QuantizeByFisher(inputs, options, run);
    report["calibration"] = calibration.json;
    fisher_seconds = calibration.fisher_seconds;
  }
  report["seconds"] = {{"fisher", fisher_seconds}};
  AddLayers(model, run, &report);

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
