// TranslatePattern: the subset of Oniguruma's syntax that tokenizers use, in PCRE2's terms. A
// construct passes only if both engines are known to agree on it; the rest is refused by name.
#include <algorithm>
#include <array>
#include <vector>

#include "sq/base/error.h"
#include "sq/text/regex.h"

namespace sq {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::array<const char*, 37> kGeneralCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc",
    "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po",
    "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", "Any"};

class Translator {
 public:
  Translator(const std::string& pattern, const std::string& what) : in_(pattern), what_(what) {}

  std::string Run() {
    while (at_ < in_.size()) Item();
    return std::move(out_);
  }

 private:
  [[noreturn]] void Refuse(const std::string& construct) const {
    throw Error(
        StrCat(what_, ": regular expression: ", construct, " at byte ", at_, " is not supported"));
  }

  char Peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool Next(const char* text) const {
    return in_.compare(at_, std::char_traits<char>::length(text), text) == 0;
  }
  void Copy(size_t count) {
    out_.append(in_, at_, count);
    at_ += count;
  }

  void Item() {
    switch (in_[at_]) {
      case '\\': return Escape();
      case '[': return Class();
      case '(': return Open();
      case ')':
        if (!ignore_case_.empty()) ignore_case_.pop_back();
        return Copy(1);
      case '{': return Count();
      case '^':
      case '$': Refuse("an anchor");
      case '.':  // all but a line feed, whatever PCRE2 was built to take for a newline
        out_ += "[^\\n]";
        ++at_;
        return;
      default: return Copy(1);
    }
  }

  void Open() {
    bool ignore_case = !ignore_case_.empty() && ignore_case_.back();
    if (Peek(1) != '?') {
      // Places of groups are of no use to a tokenizer.
      out_ += "(?:";
      ++at_;
    } else if (Next("(?i:")) {
      ignore_case = true;
      Copy(4);
    } else if (Next("(?:") || Next("(?=") || Next("(?!") || Next("(?>")) {
      Copy(3);
    } else if (Next("(?<=") || Next("(?<!")) {
      Copy(4);
    } else {
      // Among them (?i) without a colon, whose reach past a | differs.
      Refuse("this kind of group");
    }
    ignore_case_.push_back(ignore_case);
  }

  // {n}, {n,} or {n,m}; what may follow it means different things.
  void Count() {
    size_t end = at_ + 1;
    const size_t first = end;
    while (end < in_.size() && IsDigit(in_[end])) ++end;
    bool good = end > first;
    if (end < in_.size() && in_[end] == ',') {
      ++end;
      while (end < in_.size() && IsDigit(in_[end])) ++end;
    }
    good = good && end < in_.size() && in_[end] == '}';
    if (!good) Refuse("this use of {");
    Copy(end + 1 - at_);
    if (Peek(0) == '?' || Peek(0) == '+') Refuse("a suffix of {}");
  }

  void Class() {
    Copy(1);
    if (Peek(0) == '^') Copy(1);
    if (Peek(0) == ']') Refuse("] as the first of a class");
    while (true) {
      if (at_ >= in_.size()) Refuse("a class without its ]");
      if (Next("&&")) Refuse("an intersection of classes");
      if (in_[at_] == '[') Refuse("a class within a class");
      if (in_[at_] == ']') return Copy(1);
      if (in_[at_] == '\\') {
        Escape();
      } else {
        Copy(1);
      }
    }
  }

  // An escape, within a class or not.
  void Escape() {
    const char c = Peek(1);
    const auto emit = [&](const std::string& text) {
      out_ += text;
      at_ += 2;
    };
    switch (c) {
      // PCRE2's own \s has U+180E, which is no white space since Unicode 6.3.
      case 's': return emit("\\p{White_Space}");
      case 'S': return emit("\\P{White_Space}");
      case 'd': return emit("\\p{Nd}");
      case 'D': return emit("\\P{Nd}");
      case 'v': return emit("\\x0b");  // PCRE2's \v is a class
      case 'r':
      case 'n':
      case 't':
      case 'f': return Copy(2);
      case 'p':
      case 'P': return Property();
      case 'u': return CodePoint(at_ + 2, 4, 0);
      case 'x':
        if (Peek(2) != '{') return CodePoint(at_ + 2, 2, 0);
        return CodePoint(at_ + 3, in_.find('}', at_) - (at_ + 3), 1);
      default: break;
    }
    if (at_ + 1 >= in_.size() || IsLetter(c) || IsDigit(c) ||
        static_cast<unsigned char>(c) < 0x20) {
      Refuse(StrCat("escape ", Quoted(in_.substr(at_, 2))));
    }
    if (static_cast<unsigned char>(c) >= 0x80) {  // means itself; PCRE2 agrees only without the \.
      ++at_;
      return;
    }
    Copy(2);
  }

  // `digits` hex digits from `begin`, and what closes them.
  void CodePoint(size_t begin, size_t digits, size_t close) {
    const bool inside = digits >= 1 && digits <= 8 && begin + digits + close <= in_.size();
    if (!inside || !std::all_of(in_.begin() + begin, in_.begin() + begin + digits, IsHexDigit)) {
      Refuse("a broken escape");
    }
    const std::string hex = in_.substr(begin, digits);
    // Two digits stand for a byte, which is a character only in ASCII.
    if (close == 0 && digits == 2 && hex[0] >= '8') Refuse("a byte past 7f");
    out_ += "\\x{" + hex + "}";
    at_ = begin + digits + close;
  }

  void Property() {
    const size_t close = in_.find('}', at_);
    if (Peek(2) != '{' || close == std::string::npos) Refuse("a broken property");
    std::string name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = Peek(1) == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.erase(0, 1);
    }
    // Engines differ on whether \p{Lu} heeds case under (?i:.
    if (!ignore_case_.empty() && ignore_case_.back()) Refuse("a property that ignores case");
    if (name == "Han") {
      name = "sc:Han";  // the script itself; PCRE2's \p{Han} takes in its extensions
    } else if (std::find(kGeneralCategories.begin(), kGeneralCategories.end(), name) ==
               kGeneralCategories.end()) {
      Refuse(StrCat("property ", Quoted(name)));
    }
    out_ += (negated ? "\\P{" : "\\p{") + name + "}";
    at_ = close + 1;
  }

  const std::string& in_;
  const std::string& what_;
  size_t at_ = 0;
  std::string out_;
  std::vector<bool> ignore_case_;  // of each open group
};

}  // namespace

std::string TranslatePattern(const std::string& pattern, const std::string& what) {
  return Translator(pattern, what).Run();
}

}  // namespace sq
