// Regular expressions of tokenizer files, run by PCRE2 but read as Oniguruma reads them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace sq {

// A compiled pattern. Immutable; Find may be called from several threads at once.
class Regex {
 public:
  // `pattern` is in the syntax that Hugging Face's tokenizers use (Oniguruma, Unicode). What means
  // something else to PCRE2 is translated (\s, \p{Han}), or refused where no tokenizer in use is
  // known to need it (\w, \b, anchors, nested classes ...). Throws sq::Error, opening with `what`,
  // for a pattern that is refused or broken.
  Regex(const std::string& pattern, const std::string& what);
  // The pattern that matches `literal` (not empty).
  static Regex Literal(const std::string& literal, const std::string& what);
  // The pattern that matches one character of a word: \w of Unicode's UTS 18.
  static Regex WordCharacter();
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

 private:
  struct Code;
  Regex(const std::string& pattern, unsigned options, const std::string& what);
  std::unique_ptr<Code> code_;
};

// `pattern` rewritten from Oniguruma's syntax to PCRE2's. Errors as in Regex's constructor.
std::string TranslatePattern(const std::string& pattern, const std::string& what);

}  // namespace sq
