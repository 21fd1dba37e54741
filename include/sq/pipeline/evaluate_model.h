// Perplexity, logits, text, MMLU and speed of a model, dense or quantized: what sq-eval does.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sq/model/device.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/benchmark.h"
#include "sq/pipeline/evaluate_mmlu.h"

namespace sq {

struct EvaluateModelOptions {
  std::string model;                  // folder
  OpenOptions open;                   // how it is taken
  std::string torch_file;             // the original's .pt with its layers; see torch_model.h
  int bits = 0;                       // of that file or folder, 16 unquantized; 0: any
  bool include_sparse = false;        // that file has outliers
  std::vector<std::string> datasets;  // names that FindDataSet knows, or paths
  std::string data_dir;               // where named data sets are looked for
  std::string text_field = "text";    // of a path's JSON
  int64_t sequence_length = 2048;
  int64_t windows = 0;      // the first so many; 0: all
  std::string save_tokens;  // file to be written with the windows of the one data set

  std::string tokens;  // file of token-id lists, each a window
  std::string logits;  // .safetensors to be written with their logits: logits.0, logits.1 ...

  std::optional<std::string> generate;  // prompt
  int64_t max_new_tokens = 32;

  MmluOptions mmlu;
  BenchmarkOptions benchmark;

  Device device;
  std::string dtype = "float32";  // of dense matrix products: auto, float32, bfloat16
  int64_t max_memory = 0;  // bytes for activations, more go to a file; 0: half of what is free
};

// Reads all inputs and checks that all outputs can be written, then runs what is asked for. Returns
// the report: model, bits, sparsity, results (dataset, perplexity, nll, windows, tokens,
// sequence_length, seconds), mmlu, benchmark, generated, device, threads, peak_memory_bytes,
// version.
nlohmann::ordered_json EvaluateModel(const EvaluateModelOptions& options);

// Token ids of the texts in a JSON file (see ReadJsonDocuments), whatever its name, by the model's
// tokenizer.
std::vector<std::vector<int32_t>> TokenizeFile(const std::string& model, const std::string& path,
                                               const std::string& text_field = "text");

// The report as lines for people.
std::string ReportText(const nlohmann::ordered_json& report);

// An earlier --json file. Throws sq::Error when it is none.
nlohmann::ordered_json ReadBaseline(const std::string& path);

// Compares each result with the one of the same data set, length and windows in `baseline`, which
// ReadBaseline read from `path`. Returns lines about those that are worse by more than the
// percentage; empty when none is. Throws sq::Error when the two have nothing to compare.
std::string CompareWithBaseline(const nlohmann::ordered_json& report,
                                const nlohmann::ordered_json& baseline, const std::string& path,
                                double max_increase_percent);

}  // namespace sq
