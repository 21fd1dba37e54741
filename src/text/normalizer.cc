#include "sq/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "sq/base/error.h"
#include "sq/text/bpe.h"
#include "sq/text/nfc_unsupported.h"
#include "sq/text/unicode.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

struct Free {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Appends the composed form of `text` by utf8proc's tables.
void AppendComposed(std::string_view text, std::string* out) {
  if (IsAscii(text)) {
    out->append(text);
    return;
  }
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(composed);
  SQ_CHECK(size >= 0, "cannot compose a text: ", utf8proc_errmsg(size));
  out->append(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
}

// NFC by the tables of Hugging Face, which are older than utf8proc's.
std::string Nfc(std::string_view text) {
  std::string result;
  if (IsAscii(text)) {
    result = text;
    return result;
  }
  result.reserve(text.size());
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    char32_t c;
    const auto length = static_cast<size_t>(DecodeUtf8(text.substr(i), &c));
    // utf8proc 2.8 loses U+11A7, which composes with nothing, after a Hangul syllable.
    if (IsUnsupportedByNfc(c) || c == 0x11a7) {
      AppendComposed(text.substr(done, i - done), &result);
      result += text.substr(i, length);
      done = i + length;
    }
    i += length;
  }
  AppendComposed(text.substr(done), &result);
  return result;
}

}  // namespace

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const size_t at = text.find(from);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += to;
    text.remove_prefix(at + from.size());
  }
}

std::string ReplaceMatches(std::string_view text, const Regex& pattern, std::string_view to) {
  std::string result;
  Regex::Scratch scratch;
  pattern.ForEachSpan(text, &scratch, [&](const Regex::Span& span) {
    result += span.match ? to : text.substr(span.begin, span.end - span.begin);
  });
  return result;
}

std::string Normalize(const std::vector<NormalizeStep>& steps, std::string_view text) {
  std::string result(text);
  for (const NormalizeStep& step : steps) {
    switch (step.kind) {
      case NormalizeKind::kPrepend:
        if (!result.empty()) result.insert(0, step.to);
        break;
      case NormalizeKind::kReplace:
        result = step.pattern ? ReplaceMatches(result, *step.pattern, step.to)
                              : ReplaceAll(result, step.from, step.to);
        break;
      case NormalizeKind::kNfc: result = Nfc(result); break;
      case NormalizeKind::kStripLeft: result.erase(0, WhiteSpaceAtStart(result)); break;
      case NormalizeKind::kStripRight:
        result.resize(result.size() - WhiteSpaceAtEnd(result));
        break;
      case NormalizeKind::kCharacterMap: result = step.characters->Apply(result); break;
      case NormalizeKind::kSpellBytes: result = SpellBytes(result); break;
    }
  }
  return result;
}

}  // namespace sq
