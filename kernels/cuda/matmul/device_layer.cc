#include "kernels/cuda/matmul/device_layer.h"

namespace sq::cuda {

DeviceLayer::DeviceLayer(const RepackedLayer& host)
    : codes_(host.indices, "indices of a layer"),
      table_(host.table, "lookup tables of a layer"),
      row_scale_(host.row_scale, "scales of a layer") {
  view_.index_bits = host.index_bits;
  view_.rows = static_cast<int32_t>(host.rows);
  view_.inputs = static_cast<int32_t>(host.inputs);
  view_.padded_rows = static_cast<int32_t>(host.padded_rows);
  view_.padded_inputs = static_cast<int32_t>(host.padded_inputs);
  view_.indices = codes_.data();
  view_.table = table_.data();
  view_.row_scale = row_scale_.data();
  if (!host.outlier_begin.empty()) {
    pack_begin_ = Buffer<int32_t>(host.outlier_begin, "outliers of a layer");
    packs_ = Buffer<uint32_t>(host.outlier_blocks, "outliers of a layer");
    view_.outlier_begin = pack_begin_.data();
    view_.outlier_blocks = packs_.data();
  }
  if (!host.bias.empty()) {
    bias_ = Buffer<float>(host.bias, "biases of a layer");
    view_.bias = bias_.data();
  }
}

}  // namespace sq::cuda
