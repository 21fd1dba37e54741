// The tensors of a checkpoint folder by name, over all its files. Nothing is read before it is
// asked for.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sq/base/problem_list.h"
#include "sq/checkpoint/safetensors.h"

namespace sq {

class TensorStore {
 public:
  // Opens a folder's model.safetensors, or the shards that its model.safetensors.index.json names,
  // or its pytorch_model.bin, or the shards of pytorch_model.bin.index.json: the first of these
  // that is there, as transformers does. Where `path` is a file, opens that: a safetensors file if
  // its name ends so, else one of PyTorch's. Throws sq::Error: no such files; a tensor that two
  // shards hold, or another than the one that the index puts it into. One that the index lists and
  // no shard holds is an error when it is asked for: it may be a tied head, which nobody needs.
  static TensorStore Open(const std::string& path);

  // A store of tensors that are open already; `path` names it in errors.
  static TensorStore Of(const std::string& path, const std::vector<FileTensor>& tensors);

  const std::string& path() const { return path_; }
  // Throws sq::Error naming the checkpoint and the tensor when it is missing.
  const FileTensor& Get(const std::string& name) const;
  // Whether the index lists it and no shard holds it.
  bool ListedInVain(const std::string& name) const { return absent_.count(name) > 0; }
  // "tensor NAME is missing", and what the index says of it.
  std::string Missing(const std::string& name) const;
  // Null when it is missing.
  const FileTensor* Find(const std::string& name) const;
  // All names, sorted.
  std::vector<std::string> Names() const;
  const Metadata& metadata() const { return metadata_; }
  // Entries that are plain numbers; files of PyTorch's alone have any.
  const std::map<std::string, int64_t>& integers() const { return integers_; }
  // Bytes of all tensors.
  int64_t TotalBytes() const;

 private:
  void AddFile(const std::string& path);
  void AddShards(const std::string& folder, const std::string& index);
  void Add(const std::vector<FileTensor>& tensors);

  std::string path_;
  std::map<std::string, FileTensor> tensors_;
  std::map<std::string, std::string> absent_;  // what the index lists in vain -> words of where
  Metadata metadata_;
  std::map<std::string, int64_t> integers_;
};

// Adds a problem unless `store` has floats of this name and shape.
void CheckFloats(const TensorStore& store, const std::string& name, const Shape& shape,
                 ProblemList* problems);

}  // namespace sq
