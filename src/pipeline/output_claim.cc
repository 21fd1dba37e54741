#include "sq/pipeline/output_claim.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr char kLockInside[] = ".squeezellm.lock";

// Beside a name that is not there yet; long names are cut.
std::string LockBeside(const fs::path& target) {
  const std::string name = target.filename().string().substr(0, 200);
  return target.parent_path() / ("." + name + kLockInside);
}

bool IsFree(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return true;
  SQ_CHECK(!error, path, ": ", error.message());
  if (!fs::is_directory(status)) return false;
  const std::vector<std::string> names = FolderNames(path);
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "lost+found" || name == kLockInside;
  });
}

void CheckIsFree(const std::string& path, const std::string& shown) {
  SQ_CHECK(IsFree(path), shown, ": is there already; nothing was changed");
}

void RemoveAll(const std::string& note, const std::string& lock) {
  if (note.empty()) return;
  std::error_code error;
  for (const nlohmann::json& path : ParseJson(note, lock)) {
    SQ_CHECK(path.is_string(), lock, ": expected a list of paths");
    fs::remove_all(path.get<std::string>(), error);
  }
}

// Makes the folder and those above it; returns which were missing, the uppermost first.
std::vector<std::string> MakeFolders(const fs::path& folder) {
  std::vector<std::string> missing;
  for (fs::path at = folder; !at.empty() && !FileExists(at); at = at.parent_path()) {
    missing.insert(missing.begin(), at);
  }
  if (!folder.empty()) MakeFolder(folder);
  return missing;
}

}  // namespace

void CheckFree(const std::string& path) {
  const std::string target = FollowLinks(WithoutTrailingSlash(path));
  if (FileExists(fs::path(target) / kLockInside)) return;  // of a run that is killed, or is running
  CheckIsFree(target, path);
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string name = fs::path(path).filename();
  std::error_code error;
  if (name == "." || name == "..") {
    const fs::path whole = fs::canonical(path, error);
    if (!error) return whole;
  }
  return path;
}

std::string DefaultWorkFolder(const std::string& output) {
  return WithoutTrailingSlash(output) + ".work";
}

OutputClaim::OutputClaim(const std::string& path)
    : path_(path), target_(FollowLinks(WithoutTrailingSlash(path))) {
  // Before anything is made; and again when nobody else can make anything.
  CheckFree(path);
  is_folder_ = IsFolder(target_);
  std::string lock;
  if (is_folder_) {
    lock = fs::path(target_) / kLockInside;
  } else {
    // By its whole name: another run may have another current folder.
    target_ = fs::absolute(target_);
    made_folders_ = MakeFolders(fs::path(target_).parent_path());
    lock = LockBeside(target_);
  }
  lock_ = std::make_unique<FileLock>(lock, path);
  RemoveAll(lock_->left_note(), lock);
  lock_->SetNote("");
  CheckIsFree(target_, path);
}

OutputClaim::~OutputClaim() {
  lock_.reset();
  std::error_code error;  // a folder that is not empty stays
  for (auto folder = made_folders_.rbegin(); folder != made_folders_.rend(); ++folder) {
    fs::remove(*folder, error);
  }
}

void OutputClaim::NoteMade(const std::vector<std::string>& paths) {
  lock_->SetNote(nlohmann::json(paths).dump());
}

}  // namespace sq
