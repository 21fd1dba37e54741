// What the kernels need to know of a device, and the numbers that depend on it.
#pragma once

#include <cstdint>

namespace sq::cuda {

struct DeviceInfo {
  int capability = 0;  // 10 * major + minor
  int multiprocessors = 0;
  int64_t shared_bytes = 0;  // that a thread block may ask for
};

// Of the current device; asked for once.
const DeviceInfo& CurrentDeviceInfo();

// The LUT-GEMV of one token, by measurement on an H200: rows up to so many inputs go faster
// with three small blocks a multiprocessor than with two large ones (11008 x 4096, 4 bits: 10.2 us
// against 11.1), longer ones slower (8192 x 28672: 50 against 35).
constexpr int64_t kNarrowInputs = 4096;

}  // namespace sq::cuda
