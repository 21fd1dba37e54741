// Which devices the machine code of a build runs on.
#pragma once

#include <string>

namespace sq::cuda {

// A compute capability, such as 9.0.
struct Capability {
  int major = 0, minor = 0;
};
std::string ToString(const Capability& capability);

// What a device of `device` lacks in a build for `architectures`, or nothing if kernels run on it.
// `architectures` are CMake's CUDA_ARCHITECTURES, divided by spaces: "90-real" is machine code for
// 9.0 and minor versions after it; "90-virtual" is PTX, which the driver compiles for 9.0 and
// whatever comes after it; "90" is both. Letters after the number are passed over.
std::string WhatItLacks(const Capability& device, const std::string& architectures);

}  // namespace sq::cuda
