// The tensors of a checkpoint folder by name, over all its files. Nothing is read before it is
// asked for.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sq/checkpoint/safetensors.h"

namespace sq {

class TensorStore {
 public:
  // Opens FOLDER/model.safetensors, or the shards that FOLDER/model.safetensors.index.json names,
  // or, where `path` is a file, that file. Throws sq::Error: no such files; a tensor that the index
  // puts into a shard which lacks it, or that two shards hold.
  static TensorStore Open(const std::string& path);

  // A store of tensors that are open already; `path` names it in errors.
  static TensorStore Of(const std::string& path, const std::vector<FileTensor>& tensors);

  // Throws sq::Error naming the checkpoint and the tensor when it is missing.
  const FileTensor& Get(const std::string& name) const;
  // Null when it is missing.
  const FileTensor* Find(const std::string& name) const;
  // All names, sorted.
  std::vector<std::string> Names() const;
  const Metadata& metadata() const { return metadata_; }
  // Bytes of all tensors.
  int64_t TotalBytes() const;

 private:
  void Add(const Safetensors& file);

  std::string path_;
  std::map<std::string, FileTensor> tensors_;
  Metadata metadata_;
};

}  // namespace sq
