#include "sq/text/csv.h"

#include <algorithm>
#include <string_view>

#include "sq/text/text_file.h"

namespace sq {
namespace {

constexpr int64_t kMaxBytes = int64_t{256} << 20;

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::vector<CsvRow> Rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      if (SkipLineEnd()) continue;
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

  // Consumes the text up to the next of `ends`, or the rest.
  std::string_view Until(const char* ends) {
    const size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    const std::string_view taken = text_.substr(at_, end - at_);
    at_ = end;
    return taken;
  }

  // Consumes the quoted text after the opening quote, and the closing quote.
  std::string QuotedPart() {
    const size_t begin = at_;
    std::string part(Until("\""));
    while (Take('"') && Take('"')) {
      part += '"';
      part += Until("\"");
    }
    CountLines(text_.substr(begin, at_ - begin));
    return part;
  }

  // Leaves the position at the comma or line end after the field.
  std::string Field() {
    std::string field;
    if (Take('"')) field = QuotedPart();
    field += Until(",\r\n");
    return field;
  }

  void CountLines(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const bool pair = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
      line_ += !pair && (text[i] == '\r' || text[i] == '\n');
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> ReadCsv(const std::string& path) {
  const std::string text = ReadText(path, kMaxBytes);
  return Reader(text).Rows();
}

}  // namespace sq
