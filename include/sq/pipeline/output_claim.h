// An output's place, taken by a run before its work: so that what cannot be is said at once, and of
// two runs with one output one is told of the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sq/base/file_lock.h"

namespace sq {

// Throws sq::Error when `path` is there and not an empty folder: nothing is ever overwritten. What
// a disk of its own holds from the start (lost+found), and what a killed run of ours left, does not
// count.
void CheckFree(const std::string& path);

// "out/" is "out", and "." is the folder's own name: names beside it are made by appending to it.
std::string WithoutTrailingSlash(std::string path);

// `path` + ".work", beside what the user named.
std::string DefaultWorkFolder(const std::string& output);

// While it lives, the place `path` is this process's. Missing folders above it are made, and
// removed again unless something came to lie in them. What a killed run left there is removed.
class OutputClaim {
 public:
  // Follows symbolic links. Throws sq::Error when the place is not free (CheckFree), is in use by
  // another run, which is named, or cannot be written to.
  explicit OutputClaim(const std::string& path);
  ~OutputClaim();
  OutputClaim(const OutputClaim&) = delete;
  OutputClaim& operator=(const OutputClaim&) = delete;

  const std::string& path() const { return path_; }      // as given
  const std::string& target() const { return target_; }  // where links lead
  // Whether there is an empty folder at the target, which may be a mount point: it is filled, and
  // cannot be replaced.
  bool is_folder() const { return is_folder_; }

  // What is to be removed, all of it, by the next run should this one be killed: paths of things
  // that this run makes.
  void NoteMade(const std::vector<std::string>& paths);

 private:
  std::string path_, target_;
  bool is_folder_ = false;
  std::vector<std::string> made_folders_;  // above the target, the uppermost first
  std::unique_ptr<FileLock> lock_;
};

}  // namespace sq
