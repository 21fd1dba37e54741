// The MLP's activation functions in double precision.
#pragma once

#include <algorithm>
#include <cmath>

#include "sq/kernels/cuda_matmul.h"

namespace sq::test {

inline double ReferenceActivation(Activation function, double x) {
  switch (function) {
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kGelu: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh: {
      const double kPi = 3.14159265358979323846;
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x)));
    }
  }
  return 0;
}

}  // namespace sq::test
