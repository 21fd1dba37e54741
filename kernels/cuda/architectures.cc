#include "kernels/cuda/architectures.h"

#include <sstream>

#include "sq/base/error.h"

namespace sq::cuda {
namespace {

constexpr int kLeastMajor = 8;  // has the copies and tensor-core products that the kernels use

}  // namespace

std::string ToString(const Capability& capability) {
  return StrCat(capability.major, ".", capability.minor);
}

std::string WhatItLacks(const Capability& device, const std::string& architectures) {
  const std::string has = "has compute capability " + ToString(device);
  if (device.major < kLeastMajor) return StrCat(has, "; the kernels need ", kLeastMajor, ".0");
  std::istringstream in(architectures);
  std::string built;
  for (int number = 0; in >> number;) {
    std::string kind;
    std::getline(in, kind, ' ');
    const Capability code = {number / 10, number % 10};
    const bool machine = kind.find("-virtual") == std::string::npos;
    const bool ptx = kind.find("-real") == std::string::npos;
    const bool same_major = code.major == device.major && code.minor <= device.minor;
    // Code for before 9.0 and from it on differ in what both sides must agree on (ptx.cuh).
    const bool alike = (code.major >= 9) == (device.major >= 9);
    const bool later = (code.major < device.major && alike) || same_major;
    if ((machine && same_major) || (ptx && later)) return "";
    built += (built.empty() ? "" : ", ") + ToString(code);
    if (ptx) built += code.major < 9 ? " and later below 9.0" : " and later";
  }
  return StrCat(has, "; this build has kernels for ", built);
}

}  // namespace sq::cuda
