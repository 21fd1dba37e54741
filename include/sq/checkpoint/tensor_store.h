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
  // Opens a folder's model.safetensors, or the shards that its model.safetensors.index.json names,
  // or its pytorch_model.bin, or the shards of pytorch_model.bin.index.json: the first of these
  // that is there, as transformers does. Where `path` is a file, opens that: a safetensors file if
  // its name ends so, else one of PyTorch's. Throws sq::Error: no such files; a tensor that the
  // index puts into a shard which lacks it, or that two shards hold.
  static TensorStore Open(const std::string& path);

  // A store of tensors that are open already; `path` names it in errors.
  static TensorStore Of(const std::string& path, const std::vector<FileTensor>& tensors);

  const std::string& path() const { return path_; }
  // Throws sq::Error naming the checkpoint and the tensor when it is missing.
  const FileTensor& Get(const std::string& name) const;
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
  Metadata metadata_;
  std::map<std::string, int64_t> integers_;
};

}  // namespace sq
