// The pickle inside a .pt file: a state dict as torch.save writes it. Only what such a file needs
// is understood and nothing of it is ever run. The archive around it is torch_file's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

// Where the elements of one tensor are. Row-major, contiguous.
struct PickledTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::string storage;           // the archive's record data/STORAGE; other tensors may share it
  int64_t storage_elements = 0;  // of that record
  int64_t first = 0;             // element of the storage with which the tensor begins
};

struct StateDict {
  std::vector<PickledTensor> tensors;       // in the order of the file
  std::map<std::string, int64_t> integers;  // entries that are plain numbers
};

// Reads a dictionary, plain or ordered (what Module.state_dict() gives: its attribute _metadata is
// left out), of tensors, parameters and integers, pickled with protocol 2, torch.save's own. Every
// tensor lies inside its storage as stated. `path` opens the message of the sq::Error thrown for
// anything else. Cost: one pass; memory in proportion to `size`, whatever the bytes say.
StateDict ParseStateDict(const uint8_t* data, int64_t size, const std::string& path);

}  // namespace sq
