// MMLU (Hendrycks et al., arXiv 2009.03300): its files, its prompts and its categories.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sq/text/tokenizer.h"

namespace sq {

constexpr int kMmluChoices = 4;

struct MmluQuestion {
  std::string question;
  std::array<std::string, kMmluChoices> choices;
  int answer = 0;  // 0 is A
};

struct MmluSubject {
  std::string name;                          // "high_school_geography"
  std::vector<MmluQuestion> examples, test;  // examples: answered ones to open the prompt with
};

// The subjects of the original release's CSV tree in `folder`, by name: of every file
// test/<subject>_test.csv, or those of `wanted` only, with the first `shots` questions of
// dev/<subject>_dev.csv as examples. Six columns: question, four choices, the letter of the answer.
// Throws sq::Error naming file and row when anything is missing or not as described.
std::vector<MmluSubject> ReadMmlu(const std::string& folder, const std::vector<std::string>& wanted,
                                  int64_t shots);

// The category of one of the release's 57 subjects: "STEM", "humanities", "social sciences" or
// "other", which is short for the original's "other (business, health, misc.)". Empty for a subject
// that is not of the release.
std::string MmluCategory(const std::string& subject);

// The original's prompt (hendrycks/test, evaluate.py), letter for letter: a line about the subject,
// with two spaces before its name; `shots` examples with their answers; the question, up to
// "Answer:".
std::string MmluPrompt(const MmluSubject& subject, int64_t shots, const MmluQuestion& question);

// A subject's prompts as token ids. A prompt longer than `context` tokens loses examples, from the
// last one on, until it fits.
struct MmluPrompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<int64_t> shots;  // examples that are left in each
};
// Throws sq::Error for a prompt that does not fit without examples either.
MmluPrompts TokenizeMmlu(const MmluSubject& subject, const Tokenizer& tokenizer, int64_t context);

// The tokens of " A" to " D" as they follow "Answer:": with SentencePiece the same as those of a
// lone "A", with GPT-2's byte-level tokenizers not. Throws sq::Error for a tokenizer that does not
// make one token of each.
std::array<int32_t, kMmluChoices> MmluAnswerTokens(const Tokenizer& tokenizer);

}  // namespace sq
