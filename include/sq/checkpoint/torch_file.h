// One file of PyTorch's: a state dict as torch.save writes it, today's zip archive or the stream of
// before torch 1.6. The original's .pt and Hugging Face's pytorch_model.bin are such files. Read
// here without PyTorch: zip_archive.h finds the bytes, pickle.h reads the names and runs no code of
// the file. torch_writer.h writes them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

struct TorchFile {
  std::vector<FileTensor> tensors;          // in the order of the file
  std::map<std::string, int64_t> integers;  // entries that are plain numbers
};

// Maps a file that holds a dictionary of dense tensors and integers. Tensors may share their bytes,
// as tied weights do; one whose elements lie in another order, such as a transposed matrix, is
// copied when it is first read; nothing else is read before it is used. Throws sq::Error naming the
// file, and the entry where one is at fault: not such a file, compressed or truncated records,
// another byte order, entries of another kind.
TorchFile OpenTorchFile(const std::string& path);

}  // namespace sq
