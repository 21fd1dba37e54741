// Regular expressions of tokenizer files, run by PCRE2 but read as Oniguruma reads them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sq {

struct TranslatedPattern {
  std::string pattern;  // in PCRE2's syntax
  // It names characters that are new to PCRE2 or stand in for such, as in [\u0800-\u4e00]: texts
  // must be searched as they are.
  bool names_new_characters = false;
};

// `pattern` rewritten from Oniguruma's syntax to PCRE2's. Errors as in Regex's constructor.
TranslatedPattern TranslatePattern(const std::string& pattern, const std::string& what);

// A compiled pattern. Immutable; Find may be called from several threads at once.
class Regex {
 public:
  // `pattern` is in the syntax that Hugging Face's tokenizers use (Oniguruma, Unicode). What means
  // something else to PCRE2 is translated (\s, \b, ^, $, \p{Han}, [a&&[^b]]), or refused where no
  // tokenizer in use is known to need it (\R, back references, (?i) without a colon ...). Throws
  // sq::Error, opening with `what`, for a pattern that is refused or broken.
  Regex(const std::string& pattern, const std::string& what);
  // The pattern that matches `literal` (not empty).
  static Regex Literal(const std::string& literal, const std::string& what);
  // The pattern that matches one character of a word: \w of Unicode's UTS 18.
  static Regex WordCharacter();
  // The pattern that matches words, as WordCharacter, and runs of what is neither word nor space.
  static Regex WordsAndSymbols();
  // `pattern` is in PCRE2's syntax; texts are searched as they are.
  static Regex FromPcre2(const std::string& pattern, const std::string& what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // Working memory of the searches of one thread.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    friend class Regex;
    struct Data;
    std::unique_ptr<Data> data_;
  };

  // The first match in `text`, which must be valid UTF-8, at or after byte `from`, the start of a
  // character. Returns false when there is none. Throws sq::Error when a search needs more steps or
  // stack than a sane pattern does.
  bool Find(std::string_view text, size_t from, Scratch* scratch, Match* match) const;

  struct Span {
    size_t begin = 0;
    size_t end = 0;
    bool match = false;
  };

  // Calls `visit` for the matches in `text` and the gaps between them, in order; an empty match,
  // which divides what is around it, is allowed but right after another match. Characters that
  // PCRE2 does not know yet count as others of their category (pcre2_stand_ins.h).
  void ForEachSpan(std::string_view text, Scratch* scratch,
                   const std::function<void(const Span&)>& visit) const;

 private:
  struct Code;
  Regex(const TranslatedPattern& translated, const std::string& what);
  Regex(const std::string& pattern, unsigned options, bool by_category, const std::string& what);
  std::unique_ptr<Code> code_;
};

}  // namespace sq
