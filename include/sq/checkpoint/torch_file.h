// One .pt file: a state dict as torch.save writes it, today's zip archive or the stream of before
// torch 1.6. Archives and writing through LibTorch; reading the pickle is pickle.h's, which runs no
// code of the file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

struct TorchFile {
  std::string path;
  std::vector<TensorView> tensors;          // in the order of the file
  std::map<std::string, int64_t> integers;  // entries that are plain numbers
  std::shared_ptr<const void> memory;       // what the tensors point into: the mapped file
};

// Reads a dictionary of tensors and integers. Tensors are views of the mapped file: nothing is read
// before it is used. Throws sq::Error naming the file: not such a file, compressed or truncated
// records, another byte order, other values, tensors that are not dense.
TorchFile ReadTorchFile(const std::string& path);

// Writes the same: torch.load(path, weights_only=True) gives a dict back. One tensor at a time
// passes through memory.
void WriteTorchFile(const std::string& path, const std::vector<TensorView>& tensors,
                    const std::map<std::string, int64_t>& integers);

}  // namespace sq
