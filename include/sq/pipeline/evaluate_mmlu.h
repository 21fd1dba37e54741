// MMLU of a model: reads the questions, scores them, counts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sq/eval/mmlu.h"
#include "sq/model/transformer.h"
#include "sq/text/tokenizer.h"

namespace sq {

struct MmluOptions {
  std::string folder;                 // of the original release's CSV tree; empty: no MMLU
  std::vector<std::string> subjects;  // empty: all that the folder has
  int64_t shots = 5;
  std::string logits;  // .safetensors to be written: by subject, fp32 [questions, 4]; empty: none
};

// The member "mmlu" of sq-eval's report: accuracy over all questions, by category and by subject,
// each with its standard error sqrt(p (1 - p) / questions), and the answers given as one string of
// letters per subject. `subjects`: what ReadMmlu gives for the options. `max_memory` and `device`
// as in EvaluateModelOptions; with `bfloat16` dense products on a device round their operands to
// that.
nlohmann::ordered_json EvaluateMmlu(const Model& model, const Tokenizer& tokenizer,
                                    const std::vector<MmluSubject>& subjects,
                                    const MmluOptions& options, int64_t max_memory,
                                    const Device& device, bool bfloat16);

// That member as a table for people.
std::string MmluText(const nlohmann::ordered_json& mmlu);

}  // namespace sq
