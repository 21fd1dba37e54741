#include "sq/pipeline/run_folder.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "sq/text/token_lists.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kRequest[] = "run.json";
constexpr char kSamples[] = "samples.json";
constexpr char kLock[] = "lock";
constexpr char kFolderStays[] = "folder_stays";  // beside the request: the folder is the user's

std::string Numbered(const std::string& folder, const char* stem, int64_t number) {
  char name[64];
  std::snprintf(name, sizeof name, "%s-%05d.safetensors", stem, static_cast<int>(number));
  return fs::path(folder) / name;
}

// Both as nlohmann::json, to which the order of keys does not matter.
void CheckSameRequest(const nlohmann::json& found, const nlohmann::json& asked,
                      const std::string& path) {
  SQ_CHECK(found.is_object(), path, ": expected an object, found ", JsonTypeName(found));
  const auto check = [&](const std::string& key) {
    const nlohmann::json was = found.value(key, nlohmann::json());
    const nlohmann::json is = asked.value(key, nlohmann::json());
    SQ_CHECK(was == is, path, ": the interrupted run was made with ", key, " ", was.dump(),
             ", now it is ", is.dump(), "; remove the folder to start anew");
  };
  for (const auto& [key, value] : asked.items()) check(key);
  for (const auto& [key, value] : found.items()) {
    if (key != kFolderStays) check(key);
  }
}

template <typename T>
T ParseNumber(const std::string& text, const std::string& path) {
  T number{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  SQ_CHECK(parsed.ec == std::errc() && parsed.ptr == text.data() + text.size(), path,
           ": expected a number, found ", Quoted(text));
  return number;
}

bool IsTemporary(const fs::path& name) { return name.extension() == ".tmp"; }

// Whether `path` has nothing but what a run leaves that was killed while it wrote its first file.
bool IsUnused(const std::string& path) {
  if (!IsFolder(path)) return !FileExists(path);
  const std::vector<std::string> names = FolderNames(path);
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name == kLock || (name.rfind("run.json.", 0) == 0 && IsTemporary(name));
  });
}

}  // namespace

bool RunFolder::IsRun(const std::string& path) { return FileExists(fs::path(path) / kRequest); }

RunFolder::RunFolder(const std::string& path, const Json& request, bool resume) : path_(path) {
  SQ_CHECK(IsRun(path) || IsUnused(path), path, ": is there and not the work folder of a run");
  folder_stays_ = !IsRun(path) && IsFolder(path) && !FileExists(fs::path(path) / kLock);
  MakeFolder(path);
  lock_.emplace(fs::path(path) / kLock, path);
  try {
    Begin(request, resume);
  } catch (...) {
    if (!IsRun(path)) RemoveEmpty();
    throw;
  }
}

// With the lock: nobody else makes anything here.
void RunFolder::Begin(const Json& request, bool resume) {
  const std::string file = fs::path(path_) / kRequest;
  if (IsRun(path_)) {
    SQ_CHECK(resume, path_,
             ": holds an interrupted run; --resume goes on with it, and without the ",
             "folder it starts anew");
    const nlohmann::json found = ReadJsonFile(file);
    CheckSameRequest(found, request, file);
    folder_stays_ = JsonBool(found, kFolderStays, file, false);
  }
  // Half written by a process that was killed.
  for (const std::string& name : FolderNames(path_)) {
    std::error_code error;
    if (IsTemporary(name)) fs::remove(fs::path(path_) / name, error);
  }
  if (IsRun(path_)) return;
  Json kept = request;
  if (folder_stays_) kept[kFolderStays] = true;
  WriteFile(file, kept.dump(2) + "\n");
}

RunFolder::~RunFolder() {
  if (!lock_ || HoldsWork()) return;
  std::error_code error;
  fs::remove(fs::path(path_) / kRequest, error);
  RemoveEmpty();
}

// The lock's file goes before the folder does: on NFS it would stay as long as it is open.
bool RunFolder::RemoveEmpty() {
  lock_.reset();
  std::error_code error;
  if (folder_stays_) return fs::is_empty(path_, error);
  return fs::remove(path_, error);
}

bool RunFolder::HoldsWork() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const fs::path name = entry.path().filename();
    if (name.extension() == ".safetensors" || name == kSamples) return true;
  }
  return false;
}

std::string RunFolder::LayerPath(int64_t layer) const { return Numbered(path_, "layer", layer); }

bool RunFolder::HasLayer(int64_t layer) const { return fs::exists(LayerPath(layer)); }

void RunFolder::WriteLayer(int64_t layer, const std::vector<TensorView>& tensors,
                           const Json& statistics) const {
  WriteSafetensors(LayerPath(layer), tensors, {{"statistics", statistics.dump()}});
}

Json RunFolder::LayerStatistics(int64_t layer) const {
  const std::string path = LayerPath(layer);
  const Metadata metadata = OpenSafetensors(path).metadata;
  const auto found = metadata.find("statistics");
  SQ_CHECK(found != metadata.end(), path, ": no statistics");
  return ParseJson(found->second, path);
}

std::string RunFolder::SensitivityPath(int64_t layer) const {
  return Numbered(path_, "sensitivity", layer);
}

bool RunFolder::HasSensitivity(int64_t layer) const { return fs::exists(SensitivityPath(layer)); }

void RunFolder::WriteSensitivity(int64_t layer, const std::vector<TensorView>& tensors) const {
  WriteSafetensors(SensitivityPath(layer), tensors, {{"format", "pt"}});
}

std::optional<RunFolder::Samples> RunFolder::ReadSamples() const {
  const std::string path = fs::path(path_) / kSamples;
  if (!fs::exists(path)) return std::nullopt;
  return ReadTokenLists(path);
}

void RunFolder::WriteSamples(const Samples& samples) const {
  WriteFile(fs::path(path_) / kSamples, Json(samples).dump() + "\n");
}

std::optional<RunFolder::Gradient> RunFolder::ReadGradient() const {
  const std::string path = fs::path(path_) / "gradient.safetensors";
  if (!fs::exists(path)) return std::nullopt;
  const Safetensors file = OpenSafetensors(path);
  SQ_CHECK(file.tensors.size() == 1, path, ": expected one tensor, found ", file.tensors.size());
  const auto layer = file.metadata.find("layer"), loss = file.metadata.find("loss");
  SQ_CHECK(layer != file.metadata.end() && loss != file.metadata.end(), path,
           ": no layer number or no loss");
  Gradient gradient{ParseNumber<int64_t>(layer->second, path),
                    ParseNumber<double>(loss->second, path), file.tensors[0]};
  SQ_CHECK(gradient.layer >= 0, path, ": layer ", gradient.layer);
  return gradient;
}

void RunFolder::WriteGradient(int64_t layer, double loss, const TensorView& gradient) const {
  WriteSafetensors(fs::path(path_) / "gradient.safetensors", {gradient},
                   {{"layer", std::to_string(layer)}, {"loss", Json(loss).dump()}});
}

bool RunFolder::Remove() {
  // A run killed in here is still known by its run.json.
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const fs::path name = entry.path().filename();
    if (name != kRequest && name != kLock) fs::remove_all(entry.path(), error);
  }
  fs::remove(fs::path(path_) / kRequest, error);
  return RemoveEmpty();
}

}  // namespace sq
