// What the kernels need to know of a device, and the numbers that depend on it.
#pragma once

#include <cstdint>

namespace sq::cuda {

struct DeviceInfo {
  int capability = 0;  // 10 * major + minor
  int multiprocessors = 0;
  int64_t shared_bytes = 0;   // that a thread block may ask for
  bool window_known = false;  // shared memory begins where ptx.cuh says
};

// Of the current device; asked for once.
const DeviceInfo& CurrentDeviceInfo();

}  // namespace sq::cuda
