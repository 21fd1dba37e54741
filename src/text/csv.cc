#include "sq/text/csv.h"

#include <algorithm>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

constexpr int64_t kMaxBytes = int64_t{256} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

class Reader {
 public:
  Reader(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  std::vector<CsvRow> Rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      if (SkipLineEnd()) continue;
      row_ = static_cast<int64_t>(rows.size()) + 1;
      rows.push_back({line_, {}});
      do {
        rows.back().fields.push_back(Field());
      } while (Take(','));
      SkipLineEnd();
    }
    return rows;
  }

 private:
  bool Take(char expected) {
    if (at_ == text_.size() || text_[at_] != expected) return false;
    ++at_;
    return true;
  }

  bool SkipLineEnd() {
    const bool carriage_return = Take('\r');
    const bool end = Take('\n') || carriage_return;
    line_ += end;
    return end;
  }

  // Stops at the comma or line end after the field.
  std::string Field() {
    if (Take('"')) return QuotedField();
    const size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    const std::string_view field = text_.substr(at_, end - at_);
    SQ_CHECK(IsValidUtf8(field), Where(), ": not UTF-8");
    at_ = end;
    return std::string(field);
  }

  std::string QuotedField() {
    const std::string where = Where();
    std::string field;
    for (;;) {
      const size_t end = text_.find('"', at_);
      SQ_CHECK(end != std::string_view::npos, where,
               ": a quote that opens a field is never closed");
      field += text_.substr(at_, end - at_);
      at_ = end + 1;
      if (!Take('"')) break;
      field += '"';
    }
    line_ += std::count(field.begin(), field.end(), '\n');
    SQ_CHECK(IsValidUtf8(field), where, ": not UTF-8");
    SQ_CHECK(at_ == text_.size() || text_.find_first_of(",\r\n", at_) == at_, where,
             ": expected a comma or the line's end after a closing quote, found '",
             text_.substr(at_, 1), "'");
    return field;
  }

  std::string Where() const { return StrCat(path_, ": row ", row_, " (line ", line_, ")"); }

  const std::string& path_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t row_ = 0, line_ = 1;
};

}  // namespace

std::vector<CsvRow> ReadCsv(const std::string& path) {
  const std::string bytes = ReadFile(path, kMaxBytes);
  std::string_view text = bytes;
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    text.remove_prefix(kByteOrderMark.size());
  }
  return Reader(path, text).Rows();
}

}  // namespace sq
