// Writes what torch_file.h reads, through LibTorch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

// Writes a dictionary of tensors and integers, which torch.load(path, weights_only=True) gives
// back. One tensor at a time passes through memory. Throws sq::Error naming the file.
void WriteTorchFile(const std::string& path, const std::vector<TensorView>& tensors,
                    const std::map<std::string, int64_t>& integers);

}  // namespace sq
