// Folders as results: made under a temporary name, renamed when whole.
#pragma once

#include <string>

#include "sq/checkpoint/quantized_config.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/output_claim.h"
#include "sq/pipeline/run_folder.h"

namespace sq {

// A folder being made. Its contents come into being in a folder of a temporary name, which is
// removed again unless Commit is reached: beside `path`, or in it where there is an empty folder
// already, which may be one that cannot be replaced (a mount point, the current folder).
class OutputFolder {
 public:
  // Claims the place (OutputClaim) and makes nothing yet.
  explicit OutputFolder(const std::string& path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Makes the temporary folder when first called; its path.
  const std::string& temporary();
  // Gives the folder its name; or moves what is in it to the folder that was there, config.json
  // last, without which no tool takes a folder for a model. Throws sq::Error.
  void Commit();

 private:
  void MoveContents();

  OutputClaim claim_;
  std::string temporary_;
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
