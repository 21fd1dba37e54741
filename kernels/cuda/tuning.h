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

// Stripes of the LUT-GEMV per multiprocessor, for one token (for more, one). At 4 bits every
// stripe builds a table of 64 KB for each group of rows that it touches, so one is best: 16 warps x
// 2 loads of 1 KB ahead = 32 KB in flight, more than the 18 to 23 KB that an H100 or H200 needs by
// Little's law. At 3 bits there is no table, and two, with 24 KB in flight each, hide each other's
// barriers. By arithmetic, not by measurement yet.
struct GemvTuning {
  int capability;  // from this one on, up to the next row's
  int stripes_4bit, stripes_3bit;
};
constexpr GemvTuning kGemvTuning[] = {
    {80, 1, 2},  // A100
    {86, 1, 2},  // A6000: 100 KB of shared memory
    {90, 1, 2},  // H100, H200
};

}  // namespace sq::cuda
