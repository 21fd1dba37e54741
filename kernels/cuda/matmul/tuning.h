// Numbers that depend on the device, by measurement.
#pragma once

#include <cstdint>

namespace sq::cuda {

// The LUT-GEMV of one token on an H200: rows up to so many inputs go faster with three small blocks
// a multiprocessor than with two large ones (11008 x 4096, 4 bits: 10.2 us against 11.1), longer
// ones slower (8192 x 28672: 50 against 35).
constexpr int64_t kNarrowInputs = 4096;

}  // namespace sq::cuda
