// The pickles of a .pt file, read as data: no code of the file is ever run. A small stack machine
// knows what torch.save writes of a state dict and refuses everything else, naming what the file
// asks to call. LibTorch's own unpickler cannot read an OrderedDict, which is what state_dict()
// gives.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

struct PickledTensor {
  std::string name;
  DType dtype;
  Shape shape;
  std::vector<int64_t> strides;  // in elements; empty: row-major without gaps
  std::string storage;           // key of the storage that holds its elements
  int64_t storage_offset;        // of its first element, in elements
};

struct PickledStorage {
  DType dtype;
  int64_t elements;
};

struct PickledDict {
  std::vector<PickledTensor> tensors;       // in the order of the file
  std::map<std::string, int64_t> integers;  // entries that are plain numbers
  std::map<std::string, PickledStorage> storages;
};

// Reads one pickle, a dictionary (or OrderedDict) of names to dense tensors and integers; an entry
// of any other kind is an error that names it. Each tensor lies inside the elements that its
// storage claims to have; whether the file has those is the caller's to check. Sets *used to the
// pickle's length. Throws sq::Error naming `path`. Cost: linear in the pickle.
PickledDict ParsePickledDict(const uint8_t* data, int64_t size, const std::string& path,
                             int64_t* used);

// Reads one pickle, a list of names.
std::vector<std::string> ParsePickledNames(const uint8_t* data, int64_t size,
                                           const std::string& path, int64_t* used);

// The length of the pickle at `data`, whatever it holds.
int64_t PickleLength(const uint8_t* data, int64_t size, const std::string& path);

}  // namespace sq
