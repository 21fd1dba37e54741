#include "sq/pipeline/quantize_stage.h"

#include <nlohmann/json.hpp>

#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/kernels/cuda_kmeans.h"
#include "sq/model/linear.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kDenseRows = 64;  // of each matrix, for the report's distortion without outliers

MatrixView<const float> View(const at::Tensor& matrix) {
  if (!matrix.defined()) return {};
  return {matrix.const_data_ptr<float>(), matrix.size(0), matrix.size(1)};
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

}  // namespace

BitPlan UniformBits(const ModelConfig& config, int bits) {
  BitPlan plan;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    plan.emplace_back(LayerLinears(config, layer).size(), bits);
  }
  return plan;
}

QuantizeStage::QuantizeStage(const Model& model, const QuantizeModelOptions& options, BitPlan plan,
                             const RunFolder& run)
    : model_(model), plan_(std::move(plan)), run_(run) {
  options_.outliers = options.outliers;
  options_.dense_distortion_rows = kDenseRows;
  if (options.device.cuda) options_.cluster_rows = CudaRowClusterer();
}

QuantizedLayer QuantizeStage::Quantize(const LinearInfo& linear, int bits,
                                       const at::Tensor& sensitivity) const {
  QuantizeOptions options = options_;
  options.bits = bits;
  const FileTensor& stored = model_.store.Get(linear.WeightName());
  const at::Tensor weight = LoadFloats(stored, {linear.out_features, linear.in_features}, kCpu);
  QuantizedLayer made = QuantizeLayer(View(weight), View(sensitivity), options, stored.Where());
  if (linear.bias) {
    const FileTensor& bias = model_.store.Get(linear.BiasName());
    CheckShape(bias, {linear.out_features});
    made.layer.bias = ReadFloats(bias);
  }
  return made;
}

void QuantizeStage::Run(int64_t layer, const LayerSensitivity& sensitivity) const {
  const std::vector<LinearInfo> linears = LayerLinears(model_.config, layer);
  const std::vector<int>& bits = plan_[static_cast<size_t>(layer)];
  std::vector<QuantizedLayer> results;
  Json statistics = Json::array();
  for (size_t i = 0; i < linears.size(); ++i) {
    results.push_back(
        Quantize(linears[i], bits[i], sensitivity.empty() ? at::Tensor() : sensitivity[i]));
    statistics.push_back(Statistics(linears[i], results.back()));
  }
  std::vector<TensorView> tensors;
  for (size_t i = 0; i < linears.size(); ++i) {
    for (const TensorView& tensor : PackedTensors(results[i].layer, linears[i].name)) {
      tensors.push_back(tensor);
    }
  }
  run_.WriteLayer(layer, tensors, statistics);
}

void ReportLayers(const RunFolder& run, int64_t layers, Json* report) {
  Json entries = Json::array();
  double distortion = 0, dense = 0, seconds = 0;
  int64_t weights = 0, nonzeros = 0, bytes = 0, rows_with_outliers = 0, rows_sampled = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
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
      entries.push_back(entry);
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
  (*report)["layers"] = entries;
}

}  // namespace sq
