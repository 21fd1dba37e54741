// Folders as results: made under a temporary name, renamed when whole.
#pragma once

#include <string>

#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/run_folder.h"

namespace sq {

// Throws sq::Error when `path` is there and not an empty folder: nothing is ever overwritten.
void CheckFree(const std::string& path);

// "out/" is "out": names beside it are made by appending to it.
std::string WithoutTrailingSlash(std::string path);

// A folder being made. Owns `path`.tmp and removes it again unless Commit is reached.
class OutputFolder {
 public:
  explicit OutputFolder(const std::string& path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::string& temporary() const { return temporary_; }
  void Commit();

 private:
  std::string path_, temporary_;
  bool committed_ = false;
};

// Puts the finished layers of `run` and the tensors that stay as they are into a quantized
// checkpoint at `folder`, with its configuration and companion files. Returns the bytes of all
// tensors.
int64_t AssembleQuantized(const Model& source, const RunFolder& run, const QuantizationInfo& info,
                          const std::string& folder);

// Makes a checkpoint of the model's own tensor names in `folder` of the Fisher matrices that `run`
// kept. The run has them still; where the disk is the same they take no room of their own.
void AssembleSensitivity(const RunFolder& run, int64_t layers, const std::string& folder);

}  // namespace sq
