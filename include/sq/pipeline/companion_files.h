// What goes with a model from folder to folder beside its weights and its configuration: tokenizer,
// templates, processors, code of its own, licence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// What is far beyond what models have with them, and not meant to be copied.
struct CompanionLimits {
  size_t files = 1000;
  int64_t bytes = int64_t{1} << 30;         // of all
  int64_t file_bytes = int64_t{256} << 20;  // the largest tokenizer.json have 35 MB
};

// Paths are those from the model folder on, and have a reason behind them where they were not
// copied: "onnx (holds weights)".
struct CompanionFiles {
  std::vector<std::string> copied;
  std::vector<std::string> left_out;  // by rule, but worth a word
  std::vector<std::string> lost;      // that a reader of the copy may miss
};

// Copies to the folder `to` all files of the model folder `from` and of the folders in it, except
// - weights, in whatever format and whichever framework's, their indices, and states of a training.
//   A folder with weights in it is another model or another form of this one, and is left out
//   whole;
// - caches, locks, unfinished downloads, and what is hidden (.git, .cache);
// - what belongs to one checkpoint and is written anew for the next: config.json,
//   quant_config.json, checksums.json, report.json. Nothing that `to` has already is written over.
// Links to files are followed: the hub's cache is made of them. Lost are links to folders and to
// nothing, files that cannot be opened or are none of their own (see base/placeholder.h), and what
// goes beyond `limits`. Logs what was left out or lost. Throws sq::Error when the copy cannot be
// written.
CompanionFiles CopyCompanionFiles(const std::string& from, const std::string& to,
                                  const CompanionLimits& limits = {});

}  // namespace sq
