// TranslatePattern: translates the subset of Oniguruma's syntax that tokenizers use to PCRE2. A
// construct is copied only if both engines are known to agree on it; all others are translated or
// rejected by name.
#include <algorithm>
#include <array>
#include <vector>

#include "sq/base/error.h"
#include "sq/text/pcre2_stand_ins.h"
#include "sq/text/regex.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::array<const char*, 37> kGeneralCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc",
    "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po",
    "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", "Any"};

// Word characters for \b, and for \w within a class.
constexpr const char* kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
// Outside of classes, Oniguruma has six more among the first 256 characters.
constexpr const char* kMoreWord = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

struct BracketName {
  const char* name;
  const char* members;  // of a class
};

// [:alpha:] and the like are not supported, since their members depend on the Unicode version.
constexpr std::array<BracketName, 7> kBrackets = {{{"digit", "\\p{Nd}"},
                                                   {"space", "\\p{White_Space}"},
                                                   {"blank", "\\t\\p{Zs}"},
                                                   {"cntrl", "\\p{Cc}"},
                                                   {"punct", "\\p{P}\\p{S}"},
                                                   {"xdigit", "0-9A-Fa-f"},
                                                   {"word", kWord}}};

// Sequences that match a single character in Oniguruma when case is ignored, but not in PCRE2.
constexpr std::array<const char*, 5> kFoldedPairs = {"ss", "ff", "fi", "fl", "st"};

constexpr int kMaxClassDepth = 16;

// A character set being parsed: `members` (the contents of a PCRE2 class) and the characters that
// one of `nested` matches.
struct CharacterSet {
  std::string members;
  std::vector<std::string> nested;

  std::string Pattern() const {
    if (nested.empty()) return members.empty() ? "(?!)" : "[" + members + "]";
    if (nested.size() == 1 && members.empty()) return nested[0];
    std::string all = members.empty() ? "(?:" : "(?:[" + members + "]|";
    for (size_t i = 0; i < nested.size(); ++i) all += (i == 0 ? "" : "|") + nested[i];
    return all + ")";
  }
};

class Translator {
 public:
  Translator(const std::string& pattern, const std::string& what) : in_(pattern), what_(what) {}

  TranslatedPattern Run() {
    while (at_ < in_.size()) Item();
    return {std::move(out_), names_new_characters_};
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
      case '[': out_ += Class(0); return;
      case '(': return Open();
      case ')':
        if (!ignore_case_.empty()) ignore_case_.pop_back();
        return Copy(1);
      case '{': return Count();
      case '^':
      case '$': return Assertion(in_[at_], 1);
      case '.':  // all but a line feed, however newlines are configured in PCRE2
        out_ += "[^\\n]";
        ++at_;
        return;
      default: return Literal();
    }
  }

  bool IgnoresCase() const { return !ignore_case_.empty() && ignore_case_.back(); }

  void Literal() {
    if (IgnoresCase()) {
      std::string pair = in_.substr(at_, 2);
      for (char& c : pair) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
      if (std::find(kFoldedPairs.begin(), kFoldedPairs.end(), pair) != kFoldedPairs.end()) {
        Refuse(StrCat(Quoted(pair), " that ignores case"));
      }
    }
    char32_t c;
    const int length = DecodeUtf8(std::string_view(in_).substr(at_), &c);
    NamesCharacters(c, c);
    Copy(length);
  }

  // A pattern that names characters rather than categories.
  void NamesCharacters(char32_t first, char32_t last) {
    if (IgnoresCase() && last >= 0x80) Refuse("a character past ASCII that ignores case");
    names_new_characters_ = names_new_characters_ || HasOrIsStandIn(first, last);
  }

  void Open() {
    bool ignore_case = IgnoresCase();
    if (Peek(1) != '?') {
      // Tokenizers do not use the positions of groups.
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
      // This includes (?i) without a colon, whose scope differs if a | follows.
      Refuse("this kind of group");
    }
    ignore_case_.push_back(ignore_case);
  }

  // {n}, {n,} or {n,m}; a following + or ? means different things.
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

  // Translates the class that begins here. Intersections and nested classes become lookaheads and
  // alternatives, which PCRE2 supports.
  std::string Class(int depth) {
    if (depth == kMaxClassDepth) Refuse("a class so deep within others");
    ++at_;
    const bool negated = Peek(0) == '^';
    if (negated) ++at_;
    if (Peek(0) == ']') Refuse("] as the first of a class");
    std::vector<CharacterSet> sets(1);  // to be intersected
    while (Peek(0) != ']' || at_ >= in_.size()) {
      if (at_ >= in_.size()) Refuse("a class without its ]");
      if (Next("&&")) {
        at_ += 2;
        sets.emplace_back();
      } else if (Next("[:")) {
        Bracket(&sets.back());
      } else if (in_[at_] == '[') {
        sets.back().nested.push_back(Class(depth + 1));
        if (Peek(0) == '-' && Peek(1) != ']') Refuse("a range that begins with a class");
      } else {
        Range(&sets.back());
      }
    }
    ++at_;
    if (sets.size() == 1 && sets[0].nested.empty()) {
      return (negated ? "[^" : "[") + sets[0].members + "]";
    }
    std::string all;
    for (size_t i = 0; i + 1 < sets.size(); ++i) all += "(?=" + sets[i].Pattern() + ")";
    all += sets.back().Pattern();
    return negated ? "(?:(?!" + all + ")[\\s\\S])" : "(?:" + all + ")";
  }

  // [:name:] within a class.
  void Bracket(CharacterSet* set) {
    const size_t close = in_.find(":]", at_ + 2);
    const std::string name =
        in_.substr(at_ + 2, close == std::string::npos ? close : close - at_ - 2);
    const auto found = std::find_if(kBrackets.begin(), kBrackets.end(),
                                    [&](const auto& bracket) { return bracket.name == name; });
    if (close == std::string::npos || found == kBrackets.end() || IgnoresCase()) {
      Refuse(StrCat("[:", name, ":]"));
    }
    set->members += found->members;
    at_ = close + 2;
    if (Peek(0) == '-' && Peek(1) != ']') Refuse("a range that begins with a class");
  }

  // A character of a class, a range, or an escape for several characters.
  void Range(CharacterSet* set) {
    constexpr char32_t kSeveral = 0xffffffff;
    const auto member = [&] {
      char32_t c = kSeveral;
      if (in_[at_] == '\\') {
        std::string outer;
        std::swap(outer, out_);
        Escape(/*in_class=*/true, &c);
        std::swap(outer, out_);
        set->members += outer;
        return c;
      }
      const int length = DecodeUtf8(std::string_view(in_).substr(at_), &c);
      // A character that is ordinary here may be special in the PCRE2 class.
      if (c == '-' || c == '^') set->members += '\\';
      set->members.append(in_, at_, length);
      at_ += length;
      return c;
    };
    const char32_t first = member();
    const bool is_range = Peek(0) == '-' && Peek(1) != ']' && !Next("-&&") && at_ + 1 < in_.size();
    if (!is_range) {
      if (first != kSeveral) NamesCharacters(first, first);
      return;
    }
    if (first == kSeveral || Peek(1) == '[') Refuse("a range that begins or ends with a class");
    set->members += '-';
    ++at_;
    const char32_t last = member();
    if (last == kSeveral) Refuse("a range that ends with a class");
    NamesCharacters(first, last);
  }

  // An escape, within a class or not. *character: its meaning, if it is a single character.
  void Escape(bool in_class = false, char32_t* character = nullptr) {
    const char c = Peek(1);
    char32_t ignored;
    if (character == nullptr) character = &ignored;
    const auto emit = [&](const std::string& text) {
      out_ += text;
      at_ += 2;
    };
    switch (c) {
      case 'b':
      case 'B':
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
        if (!in_class) return Assertion(c, 2);
        break;
      // PCRE2's \s includes U+180E, which is not white space since Unicode 6.3.
      case 's': return emit("\\p{White_Space}");
      case 'S': return emit("\\P{White_Space}");
      case 'd': return emit("\\p{Nd}");
      case 'D': return emit("\\P{Nd}");
      case 'w':
        if (IgnoresCase()) Refuse("a property that ignores case");
        return emit(in_class ? kWord : StrCat("[", kWord, kMoreWord, "]"));
      case 'W':
        if (IgnoresCase() || in_class) Refuse("this use of \\W");
        return emit(StrCat("[^", kWord, kMoreWord, "]"));
      case 'h': return emit(in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]");  // PCRE2's is white space
      case 'v': *character = '\v'; return emit("\\x0b");              // PCRE2's is a class
      case 'r': *character = '\r'; return Copy(2);
      case 'n': *character = '\n'; return Copy(2);
      case 't': *character = '\t'; return Copy(2);
      case 'f': *character = '\f'; return Copy(2);
      case 'p':
      case 'P': return Property();
      case 'u': *character = CodePoint(at_ + 2, 4, 0); return;
      case 'x':
        *character = Peek(2) == '{' ? CodePoint(at_ + 3, in_.find('}', at_) - (at_ + 3), 1)
                                    : CodePoint(at_ + 2, 2, 0);
        return;
      default: break;
    }
    if (at_ + 1 >= in_.size() || IsLetter(c) || IsDigit(c) ||
        static_cast<unsigned char>(c) < 0x20) {
      Refuse(StrCat("escape ", Quoted(in_.substr(at_, 2))));
    }
    if (static_cast<unsigned char>(c) >=
        0x80) {  // an escaped literal; PCRE2 accepts it only without the \.
      ++at_;
      Copy(DecodeUtf8(std::string_view(in_).substr(at_), character));
      if (!in_class) NamesCharacters(*character, *character);
      return;
    }
    *character = static_cast<unsigned char>(c);
    Copy(2);
  }

  // An assertion, which matches a position; `length` is that of its source text.
  void Assertion(char name, size_t length) {
    const std::string word = StrCat("[", kWord, kMoreWord, "]");
    const std::string behind = "(?<=" + word + ")", not_behind = "(?<!" + word + ")";
    const std::string ahead = "(?=" + word + ")", not_ahead = "(?!" + word + ")";
    if (IgnoresCase()) Refuse("an assertion that ignores case");
    switch (name) {
      // Lines end only at a line feed, however newlines are configured in PCRE2; a line feed at the
      // end of the text does not begin a line.
      case '^': out_ += "(?:\\A|(?<=\\n)(?!\\z))"; break;
      case '$': out_ += "(?=\\n|\\z)"; break;
      case 'Z': out_ += "(?=\\n?\\z)"; break;
      case 'b': out_ += "(?:" + behind + not_ahead + "|" + not_behind + ahead + ")"; break;
      case 'B': out_ += "(?:" + behind + ahead + "|" + not_behind + not_ahead + ")"; break;
      default: out_ += StrCat("\\", std::string(1, name));  // \A, \z and \G: the same in both
    }
    at_ += length;
    // The engines differ on quantified assertions.
    if (std::string_view("*+?{").find(Peek(0)) != std::string_view::npos && at_ < in_.size()) {
      Refuse("a repeated anchor");
    }
  }

  // `digits` hex digits from `begin`, and the closing bracket if any.
  char32_t CodePoint(size_t begin, size_t digits, size_t close) {
    const bool inside = digits >= 1 && digits <= 8 && begin + digits + close <= in_.size();
    if (!inside || !std::all_of(in_.begin() + begin, in_.begin() + begin + digits, IsHexDigit)) {
      Refuse("a broken escape");
    }
    const std::string hex = in_.substr(begin, digits);
    // Two digits denote a byte, which is a character only in ASCII.
    if (close == 0 && digits == 2 && hex[0] >= '8') Refuse("a byte past 7f");
    out_ += "\\x{" + hex + "}";
    at_ = begin + digits + close;
    const auto c = static_cast<char32_t>(std::stoul(hex, nullptr, 16));
    NamesCharacters(c, c);
    return c;
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
    // The engines differ on whether \p{Lu} ignores case under (?i:.
    if (IgnoresCase()) Refuse("a property that ignores case");
    if (name == "Han") {
      name = "sc:Han";  // the script property; \p{Han} of PCRE2 includes script extensions
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
  bool names_new_characters_ = false;
};

}  // namespace

TranslatedPattern TranslatePattern(const std::string& pattern, const std::string& what) {
  return Translator(pattern, what).Run();
}

}  // namespace sq
