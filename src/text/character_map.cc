#include "sq/text/character_map.h"

#include <utf8proc.h>

#include "sq/base/error.h"
#include "sq/text/pcre2_stand_ins.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// Graphemes of at least this many bytes are looked up character by character.
constexpr size_t kLongGrapheme = 6;

// Fields of a unit of the double array.
bool HasValue(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t Value(uint32_t unit) { return unit & 0x7fffffff; }
uint32_t Label(uint32_t unit) { return unit & 0x800000ff; }
uint32_t Offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

CharacterMap::CharacterMap(std::string_view table, const std::string& what) {
  SQ_CHECK(table.size() >= 4, what, ": \"precompiled_charsmap\": expected a table, found ",
           table.size(), " bytes");
  const uint32_t size = LittleEndian(table);
  table.remove_prefix(4);
  SQ_CHECK(size % 4 == 0 && size > 0 && size <= table.size(), what,
           ": \"precompiled_charsmap\": expected a trie of 4 to ", table.size(), " bytes, found ",
           size);
  trie_.reserve(size / 4);
  for (size_t at = 0; at < size; at += 4) trie_.push_back(LittleEndian(table.substr(at, 4)));
  replacements_ = table.substr(size);
  SQ_CHECK(IsValidUtf8(replacements_), what,
           ": \"precompiled_charsmap\": expected replacements in UTF-8");
}

bool CharacterMap::Replace(std::string_view text, std::string* out) const {
  uint32_t node = Offset(trie_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= trie_.size() || Label(trie_[node]) != byte) return false;
    const uint32_t unit = trie_[node];
    node ^= Offset(unit);
    if (!HasValue(unit)) continue;
    const size_t begin = node < trie_.size() ? Value(trie_[node]) : std::string::npos;
    if (begin > replacements_.size() || IsContinuation(replacements_.c_str()[begin])) return false;
    out->append(replacements_, begin, replacements_.find('\0', begin) - begin);
    return true;
  }
  return false;
}

std::string CharacterMap::Apply(std::string_view text) const {
  std::string storage;
  // The installed utf8proc may not know the newest combining marks.
  const std::string_view known = WithStandIns(text, &storage);
  std::string result;
  result.reserve(text.size());
  for (size_t begin = 0; begin < text.size();) {
    char32_t previous;
    size_t end = begin + DecodeUtf8(known.substr(begin), &previous);
    utf8proc_int32_t state = 0;
    while (end < text.size()) {
      char32_t next;
      const int length = DecodeUtf8(known.substr(end), &next);
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous),
                                           static_cast<utf8proc_int32_t>(next), &state)) {
        break;
      }
      previous = next;
      end += length;
    }
    const std::string_view grapheme = text.substr(begin, end - begin);
    begin = end;
    if (grapheme.size() < kLongGrapheme && Replace(grapheme, &result)) continue;
    for (size_t at = 0; at < grapheme.size();) {
      char32_t c;
      const std::string_view character = grapheme.substr(at, DecodeUtf8(grapheme.substr(at), &c));
      if (!Replace(character, &result)) result += character;
      at += character.size();
    }
  }
  return result;
}

}  // namespace sq
