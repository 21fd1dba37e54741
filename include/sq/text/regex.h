// Regular expressions of tokenizer files: in the syntax of Oniguruma, executed by PCRE2.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sq {

struct TranslatedPattern {
  std::string pattern;  // in PCRE2's syntax
  // The pattern names characters that have stand-ins or are stand-ins (pcre2_stand_ins.h), such as
  // [\u0800-\u4e00], so texts must be searched unchanged.
  bool names_new_characters = false;
};

// Translates `pattern` from the syntax of Oniguruma to that of PCRE2. Errors as in the constructor
// of Regex.
TranslatedPattern TranslatePattern(const std::string& pattern, const std::string& what);

// A compiled pattern. Immutable; Find may be called from several threads at once.
class Regex {
 public:
  // `pattern` is in the syntax of Hugging Face's tokenizers (Oniguruma, Unicode). Constructs that
  // differ in PCRE2 are translated (\s, \b, ^, $, \p{Han}, [a&&[^b]]), or rejected if no known
  // tokenizer needs them (\R, back references, (?i) without a colon ...). Throws sq::Error,
  // beginning with `what`, for a pattern that is rejected or invalid.
  Regex(const std::string& pattern, const std::string& what);
  // Matches `literal` (not empty).
  static Regex Literal(const std::string& literal, const std::string& what);
  // Matches one word character: \w of Unicode UTS 18.
  static Regex WordCharacter();
  // Matches runs of WordCharacter, and runs of characters that are neither these nor white space.
  static Regex WordsAndSymbols();
  // A pattern in PCRE2 syntax; texts are searched unchanged.
  static Regex FromPcre2(const std::string& pattern, const std::string& what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // Working memory for the searches of one thread.
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

  // Finds the first match in `text` (valid UTF-8) at or after byte `from`, which must be the start
  // of a character. Returns false if there is none. Throws sq::Error when the search exceeds the
  // limits on steps or stack.
  bool Find(std::string_view text, size_t from, Scratch* scratch, Match* match) const;

  struct Span {
    size_t begin = 0;
    size_t end = 0;
    bool match = false;
  };

  // Calls `visit` for the matches in `text` and the gaps between them, in order. An empty match,
  // which splits the text around it, is reported unless it directly follows another match.
  // Characters that PCRE2 does not know are replaced by others of their category
  // (pcre2_stand_ins.h).
  void ForEachSpan(std::string_view text, Scratch* scratch,
                   const std::function<void(const Span&)>& visit) const;

 private:
  struct Code;
  Regex(const TranslatedPattern& translated, const std::string& what);
  Regex(const std::string& pattern, unsigned options, bool by_category, const std::string& what);
  std::unique_ptr<Code> code_;
};

}  // namespace sq
