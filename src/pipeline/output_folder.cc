#include "sq/pipeline/output_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/base/process.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/pipeline/companion_files.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

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

OutputFolder::OutputFolder(const std::string& path) : claim_(path) {}

const std::string& OutputFolder::temporary() {
  if (!temporary_.empty()) return temporary_;
  const fs::path target = claim_.target();
  std::string name = TemporaryName(claim_.is_folder() ? target / ".squeezellm" : target);
  claim_.NoteMade({name});
  std::error_code error;
  const bool made = fs::create_directory(name, error);
  SQ_CHECK(made, name,
           ": cannot make the folder: ", error ? error.message() : std::strerror(EEXIST));
  temporary_ = name;
  return temporary_;
}

OutputFolder::~OutputFolder() {
  if (temporary_.empty()) return;
  std::error_code error;
  fs::remove_all(temporary_, error);
}

void OutputFolder::Commit() {
  if (claim_.is_folder()) {
    MoveContents();
  } else {
    SQ_CHECK(std::rename(temporary().c_str(), claim_.target().c_str()) == 0, claim_.path(),
             ": cannot rename ", temporary(), ": ", std::strerror(errno));
  }
  temporary_.clear();
}

void OutputFolder::MoveContents() {
  constexpr char kLast[] = "config.json";
  std::vector<std::string> names = FolderNames(temporary());
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return name != kLast; });
  const fs::path target = claim_.target();
  std::vector<std::string> made = {temporary()};
  for (const std::string& name : names) {
    SQ_CHECK(!FileExists(target / name), (target / name).string(),
             ": has come to be there meanwhile; nothing was changed");
    made.push_back(target / name);
  }
  claim_.NoteMade(made);
  std::error_code error;
  for (const std::string& name : names) {
    if (std::rename((fs::path(temporary()) / name).c_str(), (target / name).c_str()) == 0) continue;
    const std::string reason = std::strerror(errno);
    for (const std::string& path : made) fs::remove_all(path, error);
    throw Error(StrCat(claim_.path(), ": cannot move ", name, " there: ", reason));
  }
  claim_.NoteMade({temporary()});  // the rest is the user's from here on
  fs::remove(temporary(), error);
}

int64_t AssembleQuantized(const Model& source, const RunFolder& run, const QuantizationInfo& info,
                          const std::string& folder) {
  std::map<std::string, FileTensor>
      tensors;  // sorted by name: the order does not depend on the run
  std::set<std::string> replaced;
  for (int64_t layer = 0; layer < source.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(source.config, layer)) {
      replaced.insert(linear.WeightName());
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
