// What the kernels' launches depend on, of a device.
#pragma once

#include <cstdint>

#include "kernels/cuda/matmul/shared_window.h"
#include "kernels/cuda/tuning.h"

namespace sq::cuda {

struct DeviceInfo {
  int multiprocessors = 0;
  int64_t shared_bytes = 0;  // that a thread block may ask for
  // Has programmatic dependent launch (compute capability 9.0 on): LaunchShape::pdl.
  bool pdl = false;
  GemvTuning gemv;
  SharedWindow shared_window;
};

// Of the current device; asked for once.
const DeviceInfo& CurrentDeviceInfo();

}  // namespace sq::cuda
