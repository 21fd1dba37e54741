#include "sq/pipeline/quantize_inputs.h"

#include <filesystem>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/checkpoint/checksums.h"
#include "sq/model/matmul_precision.h"
#include "sq/pipeline/calibration_samples.h"
#include "sq/pipeline/model_checks.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;
using Samples = QuantizeInputs::Samples;

constexpr int64_t kMaxConfigBytes = 16 << 20;

bool CalibratesItself(const QuantizeModelOptions& options) { return options.calibration == "self"; }

std::string SamplesDigest(const Samples& samples) {
  uint32_t sum = 0;
  int64_t tokens = 0;
  for (const auto& sample : samples) {
    const uint32_t both[] = {
        sum, Checksum(sample.data(), static_cast<int64_t>(sample.size() * sizeof sample[0]))};
    sum = Checksum(both, sizeof both);
    tokens += static_cast<int64_t>(sample.size());
  }
  return StrCat(samples.size(), " samples of ", tokens, " tokens, checksum ", sum);
}

// All that decides the result, by what it is and not by where it lies, for a resumed run to be
// checked against.
Json Request(const QuantizeModelOptions& options, const Model& model, bool bfloat16,
             const std::optional<Samples>& samples, const std::optional<TensorStore>& sensitivity) {
  const std::string config =
      ReadFile(std::filesystem::path(options.model) / "config.json", kMaxConfigBytes);
  const uint32_t config_sum = Checksum(config.data(), static_cast<int64_t>(config.size()));
  Json request = {{"model", StrCat(ContentDigest(model.store), ", config.json ", config_sum)},
                  {"bits", options.bits},
                  {"sensitive_fraction", options.outliers.sensitive_fraction},
                  {"outlier_fraction", options.outliers.outlier_fraction},
                  {"outlier_range", options.outliers.outlier_range}};
  if (options.uniform_sensitivity) {
    request["sensitivity"] = "uniform";
  } else if (sensitivity) {
    request["sensitivity"] = ContentDigest(*sensitivity);
  } else {
    request["sensitivity"] = "fisher";
    request["calibration"] = samples ? SamplesDigest(*samples) : "self";
    if (!samples) request["prefix"] = SelfPrefix(model.folder);
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

}  // namespace

QuantizeInputs PrepareInputs(const QuantizeModelOptions& options, bool goes_on) {
  QuantizeInputs inputs;
  inputs.model = OpenModel(options.model, options.open);
  inputs.bfloat16 = WantsBfloat16(options.dtype, options.device);
  CheckQuantizable(inputs.model);
  if (!options.sensitivity.empty()) {
    inputs.sensitivity = TensorStore::Open(options.sensitivity);
    CheckSensitivity(inputs.model, *inputs.sensitivity);
  }
  if (!goes_on) {  // else they were looked at, and the request shows that they are the same
    CheckValues(inputs.model.store);
    if (inputs.sensitivity) CheckValues(*inputs.sensitivity);
  }
  if (HasFisherPass(options) && !CalibratesItself(options)) {
    const Stopwatch watch;
    inputs.samples = LoadCalibration(inputs.model, options);
    inputs.sampling_seconds = watch.Seconds();
  }
  inputs.request =
      Request(options, inputs.model, inputs.bfloat16, inputs.samples, inputs.sensitivity);
  return inputs;
}

}  // namespace sq
