// A repacked layer in device memory, and the view of it that kernels take.
#pragma once

#include "kernels/cuda/matmul/repack.h"
#include "kernels/cuda/runtime.h"

namespace sq::cuda {

class DeviceLayer {
 public:
  DeviceLayer() = default;
  // Copies to the current device.
  explicit DeviceLayer(const RepackedLayer& host);

  const LayerView& view() const { return view_; }
  int64_t bytes() const {
    return codes_.bytes() + table_.bytes() + row_scale_.bytes() + packs_.bytes() +
           pack_begin_.bytes() + bias_.bytes();
  }

 private:
  LayerView view_ = {};
  Buffer<uint32_t> codes_, packs_;
  Buffer<uint16_t> table_;
  Buffer<float> row_scale_, bias_;
  Buffer<int32_t> pack_begin_;
};

}  // namespace sq::cuda
