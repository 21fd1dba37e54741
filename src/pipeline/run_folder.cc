#include "sq/pipeline/run_folder.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "sq/text/token_lists.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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
  for (const auto& [key, value] : found.items()) check(key);
}

template <typename T>
T ParseNumber(const std::string& text, const std::string& path) {
  T number{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  SQ_CHECK(parsed.ec == std::errc() && parsed.ptr == text.data() + text.size(), path,
           ": expected a number, found ", Quoted(text));
  return number;
}

// Whether `path` has nothing but what a run leaves that was killed while it wrote its first file.
bool IsUnused(const std::string& path) {
  if (!fs::is_directory(path)) return !fs::exists(path);
  return std::all_of(fs::directory_iterator(path), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().filename() == "run.json.tmp"; });
}

}  // namespace

bool RunFolder::IsRun(const std::string& path) { return fs::exists(fs::path(path) / "run.json"); }

RunFolder::RunFolder(const std::string& path, const Json& request, bool resume)
    : path_(path), samples_count_(request.value("calibration", "") == "self") {
  const std::string file = fs::path(path) / "run.json";
  if (IsRun(path)) {
    SQ_CHECK(resume, path, ": holds an interrupted run; --resume goes on with it, and without the ",
             "folder it starts anew");
    lock_.emplace(file, path);
    CheckSameRequest(ReadJsonFile(file), request, file);
    return;
  }
  SQ_CHECK(IsUnused(path), path, ": is there and not the work folder of a run");
  MakeFolder(path);
  try {
    WriteFile(file, request.dump(2) + "\n");
  } catch (const Error&) {
    std::error_code error;
    fs::remove(path, error);
    throw;
  }
  lock_.emplace(file, path);
}

RunFolder::~RunFolder() {
  if (HoldsWork()) return;
  std::error_code error;
  for (const char* name : {"samples.json", "run.json"}) fs::remove(fs::path(path_) / name, error);
  fs::remove(path_, error);
}

bool RunFolder::HoldsWork() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const fs::path name = entry.path().filename();
    if (name.extension() == ".safetensors" || (samples_count_ && name == "samples.json"))
      return true;
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
  const std::string path = fs::path(path_) / "samples.json";
  if (!fs::exists(path)) return std::nullopt;
  return ReadTokenLists(path);
}

void RunFolder::WriteSamples(const Samples& samples) const {
  WriteFile(fs::path(path_) / "samples.json", Json(samples).dump() + "\n");
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

void RunFolder::Remove() const {
  // A run killed in here is still known by its run.json.
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    if (entry.path().filename() != "run.json") fs::remove_all(entry.path(), error);
  }
  fs::remove_all(path_, error);
  SQ_CHECK(!error, path_, ": cannot remove: ", error.message());
}

}  // namespace sq
