// The decoder of a tokenizer.json: converts tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

enum class DecodeKind {
  kByteLevel,     // joins all tokens and converts byte-level characters to bytes
  kReplace,       // replaces each `from`, or each match of `pattern` if set, by `to`
  kByteFallback,  // converts a run of "<0x00>" to "<0xFF>" to the text of these bytes
  kFuse,          // joins all tokens
  kStrip,  // removes up to `start` times `from` from the start of each token, `stop` from its end
  kMetaspace,  // replaces `from` by a space, but by nothing in the first token if `start` is not 0
};

struct DecodeStep {
  DecodeKind kind;
  std::string from;
  std::string to;
  int start = 0;
  int stop = 0;
  std::shared_ptr<const Regex> pattern = nullptr;
};

// Applies the steps in order to `tokens` and joins the result. Valid UTF-8 if the tokens are:
// invalid byte sequences become U+FFFD, one per byte in kByteFallback and as in ReplaceInvalidUtf8
// in kByteLevel.
std::string DecodeTokens(const std::vector<DecodeStep>& steps, std::vector<std::string> tokens);

}  // namespace sq
