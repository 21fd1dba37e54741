#include "sq/checkpoint/tensor_store.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/torch_file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxIndexBytes = 256 << 20;

// A shard's name may not lead out of the folder.
void CheckShardName(const std::string& shard, const std::string& index) {
  SQ_CHECK(!shard.empty() && shard.find('/') == std::string::npos && shard != "." && shard != "..",
           index, ": bad file name in weight_map: ", Quoted(shard));
}

}  // namespace

TensorStore TensorStore::Open(const std::string& path) {
  TensorStore store;
  store.path_ = path;
  if (fs::is_regular_file(path)) {
    store.AddFile(path);
    return store;
  }
  SQ_CHECK(fs::is_directory(path), path, ": no such folder");
  for (const std::string file : {"model.safetensors", "pytorch_model.bin"}) {
    const std::string one = fs::path(path) / file, index = one + ".index.json";
    if (FileExists(one) || IsDanglingLink(one)) {
      store.AddFile(one);
      return store;
    }
    if (FileExists(index) || IsDanglingLink(index)) {
      store.AddShards(path, index);
      return store;
    }
  }
  throw Error(path +
              ": no weights: expected model.safetensors or pytorch_model.bin, or the "
              ".index.json of either");
}

TensorStore TensorStore::Of(const std::string& path, const std::vector<FileTensor>& tensors) {
  TensorStore store;
  store.path_ = path;
  store.Add(tensors);
  return store;
}

void TensorStore::AddFile(const std::string& path) {
  if (fs::path(path).extension() == ".safetensors") {
    const Safetensors file = OpenSafetensors(path);
    Add(file.tensors);
    metadata_.insert(file.metadata.begin(), file.metadata.end());
  } else {
    const TorchFile file = OpenTorchFile(path);
    Add(file.tensors);
    integers_.insert(file.integers.begin(), file.integers.end());
  }
}

void TensorStore::AddShards(const std::string& folder, const std::string& index) {
  const nlohmann::json json = ReadJsonFile(index, kMaxIndexBytes);
  SQ_CHECK(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), index,
           ": expected an object weight_map");
  std::set<std::string> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    CheckTensorName(name, index);
    SQ_CHECK(shard.is_string(), index, ": expected a file name for tensor ", name);
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    CheckShardName(shard, index);
    AddFile(fs::path(folder) / shard);
  }
  for (const auto& [name, shard] : json["weight_map"].items()) {
    const FileTensor* tensor = Find(name);
    const std::string file = fs::path(folder) / shard.get<std::string>();
    if (tensor == nullptr) {
      absent_[name] = StrCat("; ", index, " expects it in ", shard.get<std::string>());
      continue;
    }
    SQ_CHECK(tensor->file->path() == file, file, ": tensor ", name, " is missing; ", index,
             " expects it there, not in ", tensor->file->path());
  }
}

void TensorStore::Add(const std::vector<FileTensor>& tensors) {
  for (const FileTensor& tensor : tensors) {
    const auto [at, added] = tensors_.emplace(tensor.name, tensor);
    SQ_CHECK(added, tensor.Where(), ": also in ", at->second.file->path());
  }
}

const FileTensor& TensorStore::Get(const std::string& name) const {
  const FileTensor* tensor = Find(name);
  SQ_CHECK(tensor != nullptr, path_, ": ", Missing(name));
  return *tensor;
}

const FileTensor* TensorStore::Find(const std::string& name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

std::string TensorStore::Missing(const std::string& name) const {
  const auto at = absent_.find(name);
  return "tensor " + name + " is missing" + (at == absent_.end() ? "" : at->second);
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

void CheckFloats(const TensorStore& store, const std::string& name, const Shape& shape,
                 ProblemList* problems) {
  const FileTensor* tensor = store.Find(name);
  const auto where = [&] {
    return StrCat("tensor ", name, " in ", fs::path(tensor->file->path()).filename().string());
  };
  if (tensor == nullptr) {
    problems->Add(store.Missing(name));
  } else if (tensor->shape != shape) {
    problems->Add(StrCat(where(), ": expected shape ", ShapeText(shape), ", found ",
                         ShapeText(tensor->shape)));
  } else if (!IsFloat(tensor->dtype)) {
    problems->Add(
        StrCat(where(), ": expected type ", kFloatTypes, ", found ", DTypeName(tensor->dtype)));
  }
}

}  // namespace sq
