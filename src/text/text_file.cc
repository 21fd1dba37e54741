#include "sq/text/text_file.h"

#include <algorithm>
#include <cstdio>

#include "sq/base/error.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

constexpr size_t kReadBytes = 1 << 17;
constexpr size_t kMaxLineBytes = size_t{1} << 30;
constexpr size_t kLongestMark = 4;

bool BeginsWith(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

bool IsSurrogate(uint32_t unit) { return unit >= 0xd800 && unit <= 0xdfff; }

}  // namespace

TextFile::TextFile(const std::string& path) : file_(path), path_(path) {}

void TextFile::Refuse(size_t at, const std::string& reason) const {
  throw Error(StrCat(path_, ": at byte ", offset_ + static_cast<int64_t>(at), ": ", reason));
}

void TextFile::FindEncoding() {
  struct Mark {
    std::string_view bytes;
    Encoding encoding;
    bool big_endian;
  };
  using namespace std::string_view_literals;
  const Mark marks[] = {
      {"\xef\xbb\xbf"sv, Encoding::kUtf8, false},
      // Tested before the mark of UTF-16, which is a prefix of it: text does not continue with a
      // NUL.
      {"\xff\xfe\0\0"sv, Encoding::kUtf32, false},
      {"\0\0\xfe\xff"sv, Encoding::kUtf32, true},
      {"\xff\xfe"sv, Encoding::kUtf16, false},
      {"\xfe\xff"sv, Encoding::kUtf16, true},
  };
  encoding_ = Encoding::kUtf8;
  for (const Mark& mark : marks) {
    if (!BeginsWith(bytes_, mark.bytes)) continue;
    encoding_ = mark.encoding;
    big_endian_ = mark.big_endian;
    bytes_.erase(0, mark.bytes.size());
    offset_ = static_cast<int64_t>(mark.bytes.size());
    return;
  }
}

size_t TextFile::DecodeUtf8Bytes(bool last, std::string* text) const {
  const std::string_view bytes = bytes_;
  const size_t end = FindInvalidUtf8(bytes);
  const size_t null = bytes.substr(0, end).find('\0');
  if (null != std::string_view::npos) {
    Refuse(null, "a NUL, which is no text (UTF-16 without a byte order mark?)");
  }
  if (end < bytes.size()) {
    char32_t c;
    const auto length = static_cast<size_t>(DecodeUtf8(bytes.substr(end), &c));
    // An ill-formed sequence at the end of the buffer may be the start of a character.
    if (last || end + length < bytes.size()) {
      char byte[5];
      std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(bytes[end]));
      Refuse(end, StrCat(byte,
                         " is not UTF-8; if the text is Latin-1 or Windows-1252, "
                         "`iconv -f WINDOWS-1252 -t UTF-8` converts it"));
    }
  }
  text->append(bytes_, 0, end);
  return end;
}

uint32_t TextFile::Unit(size_t at) const {
  const size_t size = encoding_ == Encoding::kUtf16 ? 2 : 4;
  uint32_t unit = 0;
  for (size_t i = 0; i < size; ++i) {
    unit = unit << 8 | static_cast<unsigned char>(bytes_[big_endian_ ? at + i : at + size - 1 - i]);
  }
  return unit;
}

size_t TextFile::DecodeUnits(bool last, std::string* text) const {
  const bool is_utf16 = encoding_ == Encoding::kUtf16;
  const size_t size = is_utf16 ? 2 : 4;
  const char* name = is_utf16 ? "UTF-16" : "UTF-32";
  size_t at = 0;
  while (at + size <= bytes_.size()) {
    uint32_t c = Unit(at);
    size_t length = size;
    if (is_utf16 && c >= 0xd800 && c <= 0xdbff) {
      if (at + 2 * size > bytes_.size() && !last) return at;
      const uint32_t low = at + 2 * size <= bytes_.size() ? Unit(at + size) : 0;
      if (low < 0xdc00 || low > 0xdfff) Refuse(at, "half a surrogate pair, not UTF-16");
      c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
      length = 2 * size;
    }
    if (c == 0) Refuse(at, StrCat("a NUL, which is no text (", name, ")"));
    if (c > 0x10ffff || IsSurrogate(c)) Refuse(at, StrCat("no character of ", name));
    AppendUtf8(c, text);
    at += length;
  }
  if (last && at < bytes_.size()) Refuse(at, StrCat("ends within a character of ", name));
  return at;
}

bool TextFile::Append(std::string* text) {
  const size_t before = text->size();
  bool last = false;
  while (text->size() == before && !last) {
    const size_t rest = bytes_.size();
    bytes_.resize(rest + kReadBytes);
    const size_t count = file_.Read(&bytes_[rest], kReadBytes);
    bytes_.resize(rest + count);
    last = count == 0;
    if (encoding_ == Encoding::kUnknown) {
      if (!last && bytes_.size() < kLongestMark) continue;
      FindEncoding();
    }
    const size_t used =
        encoding_ == Encoding::kUtf8 ? DecodeUtf8Bytes(last, text) : DecodeUnits(last, text);
    bytes_.erase(0, used);
    offset_ += static_cast<int64_t>(used);
  }
  return text->size() > before;
}

std::string ReadText(const std::string& path, int64_t max_bytes) {
  TextFile file(path);
  std::string text;
  while (file.Append(&text)) {
    SQ_CHECK(static_cast<int64_t>(text.size()) <= max_bytes, path, ": more than ", max_bytes,
             " bytes of text");
  }
  return text;
}

void ForEachLine(const std::string& path,
                 const std::function<void(std::string_view, int64_t)>& visit) {
  TextFile file(path);
  std::string text;     // from the start of a line
  size_t searched = 0;  // its first bytes that are known to have no line feed
  int64_t number = 0;
  while (file.Append(&text)) {
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', std::max(begin, searched))) != std::string::npos;) {
      visit(std::string_view(text).substr(begin, end - begin), ++number);
      begin = end + 1;
    }
    text.erase(0, begin);
    searched = text.size();
    SQ_CHECK(searched <= kMaxLineBytes, path, ", line ", number + 1, ": more than ", kMaxLineBytes,
             " bytes");
  }
  if (!text.empty()) visit(text, ++number);
}

}  // namespace sq
