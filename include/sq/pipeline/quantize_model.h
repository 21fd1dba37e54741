// A Hugging Face checkpoint in, a quantized one out: what sq-quantize does. Reads top to bottom in
// quantize_model.cc: calibration, then for each decoder layer its Fisher information and its packed
// matrices, then the output folder.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/model/device.h"
#include "sq/model/transformer.h"
#include "sq/quant/outliers.h"

namespace sq {

struct QuantizeModelOptions {
  std::string model;   // folder
  OpenOptions open;    // how it is taken
  std::string output;  // folder to be made
  int bits = 4;
  OutlierOptions outliers;

  std::string calibration = "c4";  // a name that FindDataSet knows, self, or a path
  std::string data_dir;            // where named data sets are looked for
  int64_t samples = 100;
  int64_t sequence_length = 512;
  uint64_t seed = 0;

  std::string sensitivity;       // folder of squared gradients to use instead of a Fisher pass
  std::string save_sensitivity;  // folder to be made of them
  bool uniform_sensitivity = false;

  Device device;
  std::string dtype = "auto";  // of the Fisher pass: auto, float32, bfloat16
  // Bytes for activations, more go to the work folder; 0: half of what is free, and on a device
  // half of what that has free before the host's.
  int64_t max_memory = 0;
  std::string work_dir;  // default: `output`.work
  bool resume = false;
};

// Runs it and returns the report that also lies in the output as report.json. Throws sq::Error, and
// Interrupted when stopped by a signal: then the work folder holds what is finished.
nlohmann::ordered_json QuantizeModel(const QuantizeModelOptions& options);

}  // namespace sq
