#include "sq/pipeline/output_folder.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/base/process.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCompanionFiles[] = {"tokenizer.json",
                                           "tokenizer.model",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "r50k_base.tiktoken",
                                           "generation_config.json",
                                           "chat_template.jinja",
                                           "LICENSE",
                                           "LICENSE.txt",
                                           "USE_POLICY.md"};

// Through OutputFile, whose errors say what is wrong: a full disk is an "Input/output error" to
// std::filesystem.
void Copy(const fs::path& from, const fs::path& to) {
  const MappedFile source(from);
  OutputFile file(to);
  file.Write(source.data(), source.size());
  file.Commit();
}

// A second name for the same file, or a copy where the two lie on different disks.
void LinkOrCopy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (error) Copy(from, to);
}

}  // namespace

void CheckFree(const std::string& path) {
  std::error_code error;
  const bool free =
      !fs::exists(path, error) || (fs::is_directory(path, error) && fs::is_empty(path, error));
  SQ_CHECK(free && !error, path, ": is there already; nothing was changed");
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

OutputFolder::OutputFolder(const std::string& path)
    : path_(WithoutTrailingSlash(path)), temporary_(path_ + ".tmp") {
  CheckFree(path);
  std::error_code error;
  fs::remove_all(temporary_, error);
  MakeFolder(temporary_);
}

OutputFolder::~OutputFolder() {
  if (committed_) return;
  std::error_code error;
  fs::remove_all(temporary_, error);
}

void OutputFolder::Commit() {
  SQ_CHECK(std::rename(temporary_.c_str(), path_.c_str()) == 0, path_, ": cannot rename ",
           temporary_, ": ", std::strerror(errno));
  committed_ = true;
}

void CopyCompanionFiles(const std::string& from, const std::string& to) {
  for (const char* name : kCompanionFiles) {
    if (fs::exists(fs::path(from) / name)) Copy(fs::path(from) / name, fs::path(to) / name);
  }
}

int64_t AssembleQuantized(const Model& source, const RunFolder& run, const QuantizationInfo& info,
                          const std::string& folder) {
  std::map<std::string, FileTensor>
      tensors;  // sorted by name: the order does not depend on the run
  std::set<std::string> replaced;
  for (int64_t layer = 0; layer < source.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(source.config, layer)) {
      replaced.insert(linear.name + ".weight");
    }
    for (const FileTensor& tensor : OpenSafetensors(run.LayerPath(layer)).tensors) {
      tensors.emplace(tensor.name, tensor);
    }
  }
  for (const std::string& name : source.store.Names()) {
    // A bias goes with its packed layer, which has put it in already.
    if (replaced.count(name) == 0) tensors.emplace(name, source.store.Get(name));
  }
  std::vector<TensorView> views;
  std::vector<const FileTensor*> files;
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    views.push_back(ToWrite(tensor));
    files.push_back(&tensor);
    bytes += views.back().bytes;
  }
  std::vector<float> buffer;
  WriteCheckpoint(folder, views, [&](size_t i) {
    StopIfInterrupted();
    if (i > 0) files[i - 1]->Release();
    return DataToWrite(*files[i], &buffer);
  });
  WriteQuantizedConfig(source.folder, folder, info);
  CopyCompanionFiles(source.folder, folder);
  return bytes;
}

void AssembleSensitivity(const RunFolder& run, int64_t layers, const std::string& folder) {
  std::vector<Shard> shards;
  int64_t bytes = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    Shard shard{ShardName(layer, layers), {}};
    for (const FileTensor& tensor : OpenSafetensors(run.SensitivityPath(layer)).tensors) {
      shard.tensors.push_back(tensor.name);
      bytes += tensor.bytes;
    }
    LinkOrCopy(run.SensitivityPath(layer), fs::path(folder) / shard.file_name);
    shards.push_back(shard);
  }
  WriteShardIndex(folder, shards, bytes);
}

}  // namespace sq
