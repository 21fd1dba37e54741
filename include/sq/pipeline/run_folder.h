// The work folder of a quantization run: what is finished so far, so that an interrupted run goes
// on where it stopped and gives the same bytes as one that never stopped.
//
//   run.json                        what the run was asked to do; no other is mixed in
//   samples.json                    samples that the model itself has made, which takes long
//   layer-00012.safetensors         a finished decoder layer's packed tensors; metadata: statistics
//   sensitivity-00012.safetensors   its Fisher matrices, when they are to be kept
//   gradient.safetensors            the gradient at the output of the next layer to be
//                                   differentiated; metadata: that layer's number, and the loss
//   lock                            of the process that works here (base/file_lock.h)
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sq/base/file_lock.h"
#include "sq/checkpoint/safetensors.h"

namespace sq {

class RunFolder {
 public:
  // Makes the folder for `request`, or, with `resume`, goes on in one that is there. Throws
  // sq::Error while another process works in it, which is named; and when it is there without
  // `resume`, or was made for another request (the first difference is named).
  RunFolder(const std::string& path, const nlohmann::ordered_json& request, bool resume);
  // Deletes the folder when it holds nothing worth going on with: a run that failed at once leaves
  // no trace.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Whether a run has begun in the folder `path`.
  static bool IsRun(const std::string& path);

  const std::string& path() const { return path_; }

  bool HasLayer(int64_t layer) const;
  void WriteLayer(int64_t layer, const std::vector<TensorView>& tensors,
                  const nlohmann::ordered_json& statistics) const;
  std::string LayerPath(int64_t layer) const;
  nlohmann::ordered_json LayerStatistics(int64_t layer) const;

  bool HasSensitivity(int64_t layer) const;
  void WriteSensitivity(int64_t layer, const std::vector<TensorView>& tensors) const;
  std::string SensitivityPath(int64_t layer) const;

  using Samples = std::vector<std::vector<int32_t>>;
  std::optional<Samples> ReadSamples() const;
  void WriteSamples(const Samples& samples) const;

  struct Gradient {
    int64_t layer;  // at whose output it is
    double loss;    // of the calibration samples
    FileTensor tensor;
  };
  std::optional<Gradient> ReadGradient() const;
  void WriteGradient(int64_t layer, double loss, const TensorView& gradient) const;

  // Deletes the folder with all in it, what says whose it is at last; the end of its use. False
  // when something could not be removed: the run is done all the same.
  bool Remove();

 private:
  void Begin(const nlohmann::ordered_json& request, bool resume);
  bool HoldsWork() const;
  bool RemoveEmpty();

  std::string path_;
  std::optional<FileLock> lock_;
  bool folder_stays_ = false;  // it was there, empty, before the run
};

}  // namespace sq
