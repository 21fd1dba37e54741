#include "sq/pipeline/calibrate.h"

#include <cmath>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/calib/fisher.h"
#include "sq/model/linear.h"
#include "sq/pipeline/calibration_samples.h"
#include "sq/pipeline/progress.h"

namespace sq {
namespace {

constexpr double kSecondsBetweenGradients = 30;  // a run that is killed loses about this much

TensorView FileView(const std::string& name, const at::Tensor& tensor) {
  return {name, DType::kF32, tensor.sizes().vec(), tensor.const_data_ptr(),
          static_cast<int64_t>(tensor.nbytes())};
}

void KeepSensitivity(const Model& model, int64_t layer, const LayerSensitivity& sensitivity,
                     const RunFolder& run) {
  std::vector<TensorView> tensors;
  const std::vector<LinearInfo> linears = LayerLinears(model.config, layer);
  for (size_t i = 0; i < linears.size(); ++i) {
    tensors.push_back(FileView(linears[i].WeightName(), sensitivity[i]));
  }
  run.WriteSensitivity(layer, tensors);
}

// A Fisher pass, and what of it lies in the run's folder.
class FisherRun {
 public:
  FisherRun(const Model& model, const QuantizeModelOptions& options, const RunFolder& run,
            FisherPass* pass, CalibrationReport* report)
      : model_(model),
        keep_(!options.save_sensitivity.empty()),
        run_(run),
        pass_(pass),
        report_(report) {}

  // Forward, and the gradient of the loss at the last layer's output; or, in a run that goes on, at
  // the output of the last layer that is still to be differentiated.
  void Begin() {
    const Stopwatch watch;
    std::optional<RunFolder::Gradient> saved = run_.ReadGradient();
    last_ = saved ? saved->layer : model_.config.num_layers - 1;
    SQ_CHECK(last_ < model_.config.num_layers, saved->tensor.Where(), ": of layer ", last_,
             ", but the model has ", model_.config.num_layers);
    Forward();
    if (saved) {
      pass_->set_gradient(LoadFloats(saved->tensor, saved->tensor.shape, kCpu));
      loss_ = saved->loss;
    } else {
      loss_ = pass_->Loss();
      SQ_CHECK(std::isfinite(loss_), model_.folder, ": the calibration loss is ", loss_);
      LogInfo(StrCat("calibration loss ", loss_, " nats per token"));
    }
    report_->json["loss"] = loss_;
    report_->fisher_seconds += watch.Seconds();
  }

  // Layers from the last to the first, each taken as soon as its Fisher matrices are there.
  void Backward(const TakeSensitivity& take) {
    Progress progress("quantizing", "layer", last_ + 1);
    Stopwatch since_gradient;
    for (int64_t layer = last_; layer >= 0; --layer) {
      Differentiate(layer, take);
      progress.Update(last_ + 1 - layer);
      if (layer == 0) break;
      if (InterruptRequested() || since_gradient.Seconds() > kSecondsBetweenGradients) {
        const at::Tensor gradient = pass_->gradient();
        run_.WriteGradient(layer - 1, loss_, FileView("gradient", gradient));
        since_gradient = Stopwatch();
      }
      StopIfInterrupted();
    }
  }

 private:
  void Forward() {
    Progress progress("forward pass", "layer", last_ + 1);
    pass_->Forward(last_ + 1, [&](int64_t done) {
      progress.Update(done);
      StopIfInterrupted();
    });
  }

  void Differentiate(int64_t layer, const TakeSensitivity& take) {
    const Stopwatch watch;
    if (run_.HasLayer(layer) && (!keep_ || run_.HasSensitivity(layer))) {
      pass_->Backward(layer, nullptr);
      report_->fisher_seconds += watch.Seconds();
      return;
    }
    SquaredGradients squares(LayerLinears(model_.config, layer), pass_->device());
    pass_->Backward(layer, &squares);
    const LayerSensitivity sensitivity = squares.TakeMatrices();
    report_->fisher_seconds += watch.Seconds();
    if (keep_) KeepSensitivity(model_, layer, sensitivity, run_);
    take(layer, sensitivity);
  }

  const Model& model_;
  bool keep_;
  const RunFolder& run_;
  FisherPass* pass_;
  CalibrationReport* report_;
  int64_t last_ = 0;
  double loss_ = 0;
};

// Fisher information from calibration samples.
CalibrationReport CalibrateByFisher(QuantizeInputs inputs, const QuantizeModelOptions& options,
                                    const RunFolder& run, const TakeSensitivity& take) {
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
  WithMemoryAdvice(pass.MemoryAdvice(), [&] {
    FisherRun fisher(model, options, run, &pass, &report);
    fisher.Begin();
    fisher.Backward(take);
  });
  return report;
}

// The matrices of `store`, squared gradients that the user gives; without, none.
LayerSensitivity ReadSensitivity(const Model& model, int64_t layer,
                                 const std::optional<TensorStore>& store) {
  LayerSensitivity sensitivity;
  if (!store) return sensitivity;
  for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
    sensitivity.push_back(LoadFloats(store->Get(linear.WeightName()),
                                     {linear.out_features, linear.in_features}, kCpu));
  }
  return sensitivity;
}

}  // namespace

CalibrationReport Calibrate(QuantizeInputs inputs, const QuantizeModelOptions& options,
                            const RunFolder& run, const TakeSensitivity& take) {
  if (HasFisherPass(options)) return CalibrateByFisher(std::move(inputs), options, run, take);
  const int64_t layers = inputs.model.config.num_layers;
  Progress progress("quantizing", "layer", layers);
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (!run.HasLayer(layer)) take(layer, ReadSensitivity(inputs.model, layer, inputs.sensitivity));
    progress.Update(layer + 1);
    StopIfInterrupted();
  }
  return {};
}

}  // namespace sq
