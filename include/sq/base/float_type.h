// Types of floating-point values in memory.
#pragma once

namespace sq {

enum class FloatType { kFloat16, kBFloat16, kFloat32 };

}  // namespace sq
