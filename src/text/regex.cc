#include "sq/text/regex.h"

#include <array>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "sq/base/error.h"
#include "sq/text/pcre2_stand_ins.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// \w of Unicode UTS 18, as the contents of a character class.
constexpr const char* kWordMembers = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

std::string PcreMessage(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

// Limits of one search, against patterns with exponential run time. Since known pre-tokenizers
// match a run of one kind of character as a whole, these allow runs of millions of characters.
constexpr uint32_t kMatchLimit = 100000000;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackLimit = 16 * 1024 * 1024;
constexpr uint32_t kHeapLimitKib = 1024 * 1024;

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, Free> code;
  bool jit = false;
  bool by_category = false;
  std::string what;
};

struct Regex::Scratch::Data {
  std::unique_ptr<pcre2_match_data, Free> match;
  std::unique_ptr<pcre2_jit_stack, Free> stack;
  std::unique_ptr<pcre2_match_context, Free> context;
};

Regex::Scratch::Scratch() : data_(std::make_unique<Data>()) {
  data_->match.reset(pcre2_match_data_create(1, nullptr));
  data_->context.reset(pcre2_match_context_create(nullptr));
  data_->stack.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr));
  SQ_CHECK(data_->match && data_->context && data_->stack, "regular expressions: out of memory");
  pcre2_jit_stack_assign(data_->context.get(), nullptr, data_->stack.get());
  pcre2_set_match_limit(data_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(data_->context.get(), kHeapLimitKib);
}
Regex::Scratch::~Scratch() = default;

Regex::Regex(const std::string& pattern, const std::string& what)
    : Regex(TranslatePattern(pattern, what), what) {}

Regex::Regex(const TranslatedPattern& translated, const std::string& what)
    : Regex(translated.pattern, PCRE2_UTF | PCRE2_UCP, !translated.names_new_characters, what) {}

Regex Regex::Literal(const std::string& literal, const std::string& what) {
  SQ_CHECK(!literal.empty(), what, ": empty pattern");
  return Regex(literal, PCRE2_UTF | PCRE2_LITERAL, /*by_category=*/false, what);
}

Regex Regex::FromPcre2(const std::string& pattern, const std::string& what) {
  return Regex(pattern, PCRE2_UTF | PCRE2_UCP, /*by_category=*/false, what);
}

Regex Regex::WordCharacter() {
  return FromPcre2(StrCat("[", kWordMembers, "]"), "word characters");
}

Regex Regex::WordsAndSymbols() {
  const std::string pattern =
      StrCat("[", kWordMembers, "]+|[^", kWordMembers, "\\p{White_Space}]+");
  return Regex(pattern, PCRE2_UTF | PCRE2_UCP, /*by_category=*/true, "words and symbols");
}

Regex::Regex(const std::string& pattern, unsigned options, bool by_category,
             const std::string& what)
    : code_(std::make_unique<Code>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->what = what;
  code_->by_category = by_category;
  code_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                  options, &error, &offset, nullptr));
  SQ_CHECK(code_->code, what, ": regular expression: ", PcreMessage(error));
  // If JIT compilation is not supported on this processor, the interpreter is used.
  code_->jit = pcre2_jit_compile(code_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

bool Regex::Find(std::string_view text, size_t from, Scratch* scratch, Match* match) const {
  SQ_DCHECK(from <= text.size());
  const char* data = text.empty() ? "" : text.data();  // an empty view may have no data
  pcre2_match_data* found = scratch->data_->match.get();
  const auto search = [&](auto* run, uint32_t options) {
    return run(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(data), text.size(), from,
               PCRE2_NO_UTF_CHECK | options, found, scratch->data_->context.get());
  };
  int result = code_->jit ? search(pcre2_jit_match, 0) : search(pcre2_match, 0);
  // A long run of a group may exceed the stack of the JIT; the interpreter uses the heap.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(pcre2_match, PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  // 0 is also a match: the pattern has groups, whose positions were not requested.
  SQ_CHECK(result >= 0, code_->what, ": regular expression: ", PcreMessage(result));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(found);
  *match = {bounds[0], bounds[1]};
  return true;
}

void Regex::ForEachSpan(std::string_view text, Scratch* scratch,
                        const std::function<void(const Span&)>& visit) const {
  std::string storage;
  const std::string_view searched = code_->by_category ? WithStandIns(text, &storage) : text;
  size_t done = 0;
  size_t from = 0;
  bool any = false;
  Match match;
  while (from <= text.size() && Find(searched, from, scratch, &match)) {
    if (match.begin == match.end && any && match.end == done) {
      if (match.end == text.size()) break;
      char32_t c;
      from = match.end + DecodeUtf8(text.substr(match.end), &c);
      continue;
    }
    if (done < match.begin) visit({done, match.begin, false});
    visit({match.begin, match.end, true});
    done = from = match.end;
    any = true;
  }
  if (done < text.size()) visit({done, text.size(), false});
}

}  // namespace sq
