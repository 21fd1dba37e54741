#include "sq/text/token_decoder.h"

#include <string_view>

#include "sq/text/bpe.h"
#include "sq/text/normalizer.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

std::string Join(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte of a token of the form "<0x41>"; -1 for other tokens.
int FallbackByte(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  // Rust's number parser, used by Hugging Face, also accepts a sign.
  const int high = token[3] == '+' ? 0 : HexDigit(token[3]);
  const int low = HexDigit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::vector<std::string> DecodeFallback(const std::vector<std::string>& tokens) {
  std::vector<std::string> result;
  std::string bytes;
  const auto flush = [&] {
    if (IsValidUtf8(bytes)) {
      if (!bytes.empty()) result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\ufffd");
    }
    bytes.clear();
  };
  for (const std::string& token : tokens) {
    const int byte = FallbackByte(token);
    if (byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    flush();
    result.push_back(token);
  }
  flush();
  return result;
}

void Strip(const DecodeStep& step, std::string* token) {
  const std::string& from = step.from;
  size_t begin = 0;
  for (int i = 0; i < step.start && token->compare(begin, from.size(), from) == 0; ++i) {
    begin += from.size();
  }
  size_t end = token->size();
  for (int i = 0; i < step.stop && end >= begin + from.size(); ++i) {
    if (token->compare(end - from.size(), from.size(), from) != 0) break;
    end -= from.size();
  }
  *token = token->substr(begin, end - begin);
}

void Run(const DecodeStep& step, std::vector<std::string>* tokens) {
  switch (step.kind) {
    case DecodeKind::kByteLevel: {
      std::string bytes;
      for (const std::string& token : *tokens) AppendByteLevelBytes(token, &bytes);
      *tokens = {ReplaceInvalidUtf8(bytes)};
      return;
    }
    case DecodeKind::kReplace:
      for (std::string& token : *tokens) {
        token = step.pattern ? ReplaceMatches(token, *step.pattern, step.to)
                             : ReplaceAll(token, step.from, step.to);
      }
      return;
    case DecodeKind::kByteFallback: *tokens = DecodeFallback(*tokens); return;
    case DecodeKind::kFuse: *tokens = {Join(*tokens)}; return;
    case DecodeKind::kStrip:
      for (std::string& token : *tokens) Strip(step, &token);
      return;
    case DecodeKind::kMetaspace:
      for (size_t i = 0; i < tokens->size(); ++i) {
        const bool drops = i == 0 && step.start != 0;
        (*tokens)[i] = ReplaceAll((*tokens)[i], step.from, drops ? "" : " ");
      }
      return;
  }
}

}  // namespace

std::string DecodeTokens(const std::vector<DecodeStep>& steps, std::vector<std::string> tokens) {
  for (const DecodeStep& step : steps) Run(step, &tokens);
  return Join(tokens);
}

}  // namespace sq
