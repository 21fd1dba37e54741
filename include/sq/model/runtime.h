// LibTorch's process-wide settings, in one place.
#pragma once

#include <string>

namespace sq {

// To be called once, before anything is computed: LibTorch stays on one thread, since all work here
// is split by samples, windows and rows (base/parallel.h), which gives the same sums on any number
// of threads; and freed memory is kept for the next tensor.
void SetUpLibTorch();

std::string LibTorchVersion();  // "2.11.0"

}  // namespace sq
