// Tokens back to text, as tokenizer.json's decoder asks for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

enum class DecodeKind {
  kByteLevel,     // byte-level characters become bytes, all tokens one
  kReplace,       // `to` in the place of each `from`, or match of `pattern` where there is one
  kByteFallback,  // a run of "<0x00>" to "<0xFF>" becomes the text of its bytes
  kFuse,          // all tokens become one
  kStrip,      // up to `start` times `from` goes from the front of each token, `stop` from its end
  kMetaspace,  // `from` becomes a space, or nothing in the first token if `start` is not 0
};

struct DecodeStep {
  DecodeKind kind;
  std::string from;
  std::string to;
  int start = 0;
  int stop = 0;
  std::shared_ptr<const Regex> pattern = nullptr;
};

// The text of `tokens` after each step in turn, joined. Valid UTF-8 if the tokens are: bytes that
// spell no character become U+FFFD, one for each byte in kByteFallback, as ReplaceInvalidUtf8 says
// in kByteLevel.
std::string DecodeTokens(const std::vector<DecodeStep>& steps, std::vector<std::string> tokens);

}  // namespace sq
