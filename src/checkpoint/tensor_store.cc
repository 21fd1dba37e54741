#include "sq/checkpoint/tensor_store.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxIndexBytes = 256 << 20;

// A shard's name may not lead out of the folder.
void CheckShardName(const std::string& shard, const std::string& index) {
  SQ_CHECK(!shard.empty() && shard.find('/') == std::string::npos && shard != "." && shard != "..",
           index, ": bad file name in weight_map: ", shard);
}

}  // namespace

TensorStore TensorStore::Open(const std::string& path) {
  TensorStore store;
  store.path_ = path;
  if (fs::is_regular_file(path)) {
    store.Add(OpenSafetensors(path));
    return store;
  }
  SQ_CHECK(fs::is_directory(path), path, ": no such folder");
  const fs::path folder(path);
  if (fs::exists(folder / "model.safetensors")) {
    store.Add(OpenSafetensors(folder / "model.safetensors"));
    return store;
  }
  const std::string index = folder / "model.safetensors.index.json";
  SQ_CHECK(fs::exists(index), path,
           ": no weights: expected model.safetensors or model.safetensors.index.json");
  const nlohmann::json json = ReadJsonFile(index, kMaxIndexBytes);
  SQ_CHECK(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), index,
           ": expected an object weight_map");
  std::set<std::string> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    SQ_CHECK(shard.is_string(), index, ": expected a file name for tensor ", name);
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    CheckShardName(shard, index);
    store.Add(OpenSafetensors(folder / shard));
  }
  for (const auto& [name, shard] : json["weight_map"].items()) {
    const FileTensor* tensor = store.Find(name);
    const std::string file = folder / shard.get<std::string>();
    SQ_CHECK(tensor != nullptr && tensor->file->path() == file, file, ": tensor ", name,
             " is missing; ", index, " expects it there");
  }
  return store;
}

TensorStore TensorStore::Of(const std::string& path, const std::vector<FileTensor>& tensors) {
  TensorStore store;
  store.path_ = path;
  store.Add({tensors, {}});
  return store;
}

void TensorStore::Add(const Safetensors& file) {
  for (const FileTensor& tensor : file.tensors) {
    const auto [at, added] = tensors_.emplace(tensor.name, tensor);
    SQ_CHECK(added, tensor.Where(), ": also in ", at->second.file->path());
  }
  metadata_.insert(file.metadata.begin(), file.metadata.end());
}

const FileTensor& TensorStore::Get(const std::string& name) const {
  const FileTensor* tensor = Find(name);
  SQ_CHECK(tensor != nullptr, path_, ": tensor ", name, " is missing");
  return *tensor;
}

const FileTensor* TensorStore::Find(const std::string& name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

std::vector<std::string> TensorStore::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

int64_t TensorStore::TotalBytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor.bytes;
  return bytes;
}

}  // namespace sq
