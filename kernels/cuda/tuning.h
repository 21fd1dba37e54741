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

// Stripes of the LUT-GEMV per multiprocessor, for one token (for more, one). Two that run side by
// side hide each other's beginnings and ends: at 4 bits a table of 64 KB to build for each group of
// rows that a stripe touches, a latency of x and of the outliers, a reduction. At 4 bits two need 2
// x 75 KB of shared memory. In flight then are 2 x 16 warps x 2 loads ahead x 1 KB = 64 KB at 4
// bits, 48 KB at 3, where an H100 or H200 needs 18 to 23 by Little's law. By arithmetic, not by
// measurement yet.
struct GemvTuning {
  int capability;  // from this one on, up to the next row's
  int stripes_4bit, stripes_3bit;
};
constexpr GemvTuning kGemvTuning[] = {
    {80, 2, 2},   // A100: 164 KB of shared memory
    {86, 1, 2},   // A6000, RTX 40: 100 KB
    {90, 2, 2},   // H100, H200, B200: 228 KB
    {120, 1, 2},  // RTX 50: 100 KB
};

}  // namespace sq::cuda
