#include "sq/text/tokenizer_json_parts.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/base64.h"
#include "sq/text/punctuation.h"
#include "sq/text/tokenizer_parts.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

using Json = nlohmann::json;

// The Digits step uses Rust's Unicode tables (17.0), which have these digits in addition to those
// of the regular expressions.
constexpr const char* kNumericPattern = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";

std::string Type(const Json& component, const std::string& what) {
  return JsonString(component, "type", what);
}

// The members of a Sequence, or the component itself; empty for null. Nested sequences are
// flattened.
void Flatten(const Json& component, const char* list_key, const std::string& what,
             std::vector<const Json*>* out) {
  if (component.is_null()) return;
  if (Type(component, what) != "Sequence") return out->push_back(&component);
  const Json& list = JsonMember(component, list_key, what);
  SQ_CHECK(list.is_array(), what, ": \"", list_key, "\": expected an array, found ",
           JsonTypeName(list));
  for (const Json& member : list) Flatten(member, list_key, what, out);
}

std::vector<const Json*> Components(const Json& file, const char* key, const char* list_key,
                                    const std::string& what) {
  std::vector<const Json*> components;
  if (!IsNull(file, key)) Flatten(file[key], list_key, StrCat(what, ": ", key), &components);
  return components;
}

bool IsId(const Json& value) {
  return value.is_number_integer() && value >= 0 && value <= std::numeric_limits<int32_t>::max();
}

// A string of one character.
std::string Character(const Json& object, const char* key, const std::string& what) {
  std::string text = JsonString(object, key, what);
  char32_t c;
  SQ_CHECK(!text.empty() && DecodeUtf8(text, &c) == static_cast<int>(text.size()), what, ": ",
           Quoted(key), ": expected one character, found ", Quoted(text));
  return text;
}

// The only member of "pattern", {"String": ...} or {"Regex": ...}, as *is_regex says.
std::string Pattern(const Json& component, const std::string& what, bool* is_regex) {
  const Json& pattern = JsonMember(component, "pattern", what);
  SQ_CHECK(pattern.is_object(), what, ": pattern: expected an object, found ",
           JsonTypeName(pattern));
  *is_regex = pattern.contains("Regex");
  SQ_CHECK(pattern.size() == 1 && (*is_regex || pattern.contains("String")), what,
           ": \"pattern\": expected either \"Regex\" or \"String\"");
  return JsonString(pattern, *is_regex ? "Regex" : "String", what);
}

// Parses the pattern of a Replace: *literal or *pattern.
void ReplacePattern(const Json& component, const std::string& what, std::string* literal,
                    std::shared_ptr<const Regex>* pattern) {
  bool is_regex;
  std::string text = Pattern(component, what, &is_regex);
  SQ_CHECK(is_regex || !text.empty(), what, ": empty pattern");
  if (!is_regex) {
    *literal = std::move(text);
    return;
  }
  *pattern = std::make_shared<const Regex>(text, what);
  Regex::Scratch scratch;
  Regex::Match match;
  SQ_CHECK(!(*pattern)->Find("", 0, &scratch, &match), what,
           ": a pattern that matches nothing is not supported");
}

int Count(const Json& component, const char* key, const std::string& what) {
  const int64_t count = JsonInt(component, key, what);
  SQ_CHECK(count >= 0 && count <= std::numeric_limits<int>::max(), what, ": ", Quoted(key),
           ": expected a count, found ", count);
  return static_cast<int>(count);
}

enum class PrependScheme { kAlways, kFirst, kNever };

PrependScheme ParsePrependScheme(const Json& component, const std::string& what) {
  const std::string name = JsonString(component, "prepend_scheme", what, "always");
  const bool never = name == "never";
  // Old files have add_prefix_space instead.
  SQ_CHECK(never || JsonBool(component, "add_prefix_space", what, true), what,
           ": \"add_prefix_space\" false with \"prepend_scheme\" ", Quoted(name),
           " is not supported");
  if (never) return PrependScheme::kNever;
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  throw Error(StrCat(what, ": \"prepend_scheme\": ", Quoted(name), " is not supported"));
}

SplitBehavior Behavior(const std::string& name, const std::string& what) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw Error(StrCat(what, ": \"behavior\": ", Quoted(name), " is not supported"));
}

Regex SplitPattern(const Json& step, const std::string& what) {
  bool is_regex;
  const std::string text = Pattern(step, what, &is_regex);
  return is_regex ? Regex(text, what) : Regex::Literal(text, what);
}

// Metaspace, SentencePiece's treatment of spaces: each becomes a symbol, which is also prepended.
SplitStep ParseMetaspace(const Json& component, const std::string& what) {
  SplitStep step;
  step.space_symbol = Character(component, "replacement", what);
  const PrependScheme scheme = ParsePrependScheme(component, what);
  step.add_prefix_space = scheme != PrependScheme::kNever;
  step.only_first = scheme == PrependScheme::kFirst;
  if (JsonBool(component, "split", what, true)) {
    step.pattern.emplace(Regex::Literal(step.space_symbol, what));
    step.behavior = SplitBehavior::kMergedWithNext;
  }
  return step;
}

// A step that only splits.
SplitStep ParseSplit(const Json& component, const std::string& file_what) {
  const std::string type = Type(component, file_what);
  const std::string what = StrCat(file_what, ": ", type);
  SplitStep step;
  const auto behavior = [&](const char* fallback) {
    return Behavior(JsonString(component, "behavior", what, fallback), what);
  };
  if (type == "Split") {
    step.pattern.emplace(SplitPattern(component, what));
    step.behavior = Behavior(JsonString(component, "behavior", what), what);
    step.invert = JsonBool(component, "invert", what, false);
  } else if (type == "Digits") {
    step.pattern.emplace(kNumericPattern, what);
    step.behavior = JsonBool(component, "individual_digits", what) ? SplitBehavior::kIsolated
                                                                   : SplitBehavior::kContiguous;
  } else if (type == "Punctuation") {
    step.pattern.emplace(Regex::FromPcre2(kPunctuation, what));
    step.behavior = behavior("Isolated");
  } else if (type == "WhitespaceSplit") {
    step.pattern.emplace("\\s", what);
    step.behavior = SplitBehavior::kRemoved;
  } else if (type == "Whitespace") {
    step.pattern.emplace(Regex::WordsAndSymbols());
    step.behavior = SplitBehavior::kRemoved;
    step.invert = true;
  } else if (type == "CharDelimiterSplit") {
    step.pattern.emplace(Regex::Literal(Character(component, "delimiter", what), what));
    step.behavior = SplitBehavior::kRemoved;
  } else {
    RefuseType(type, file_what);
  }
  return step;
}

void ParseTemplate(const Json& component, const std::string& what, AddedIds* ids) {
  const Json& single = JsonMember(component, "single", what);
  const Json& special = JsonMember(component, "special_tokens", what);
  SQ_CHECK(single.is_array(), what, ": \"single\": expected an array, found ",
           JsonTypeName(single));
  std::vector<int32_t> before, after;
  bool past_text = false;
  for (const Json& piece : single) {
    SQ_CHECK(piece.is_object() && piece.size() == 1, what, ": \"single\": expected a piece");
    if (piece.contains("Sequence")) {
      const std::string id = JsonString(piece["Sequence"], "id", what);
      SQ_CHECK(id == "A" && !past_text, what, ": \"single\" with more than the one text");
      past_text = true;
      continue;
    }
    const std::string name = JsonString(JsonMember(piece, "SpecialToken", what), "id", what);
    const Json& list = JsonMember(JsonMember(special, name, what), "ids", what);
    SQ_CHECK(list.is_array(), what, ": ", Quoted(name), ": expected a list of ids");
    for (const Json& id : list) {
      (past_text ? after : before).push_back(TokenId(id, what, name));
    }
  }
  SQ_CHECK(past_text, what, ": \"single\" without the text");
  ids->prefix.insert(ids->prefix.begin(), before.begin(), before.end());
  ids->suffix.insert(ids->suffix.end(), after.begin(), after.end());
}

// The id of ["</s>", 2].
int32_t EndToken(const Json& component, const char* key, const std::string& what) {
  const Json& token = JsonMember(component, key, what);
  SQ_CHECK(token.is_array() && token.size() == 2 && token[0].is_string(), what, ": ", Quoted(key),
           ": expected a token and its id, as [\"</s>\", 2]");
  return TokenId(token[1], what, token[0].get<std::string>());
}

}  // namespace

bool IsNull(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null();
}

void CheckKeys(const Json& object, std::initializer_list<const char*> known,
               const std::string& what) {
  SQ_CHECK(object.is_object(), what, ": expected an object, found ", JsonTypeName(object));
  for (const auto& [key, value] : object.items()) {
    SQ_CHECK(std::find(known.begin(), known.end(), key) != known.end(), what, ": option ",
             Quoted(key), " is not supported");
  }
}

void RefuseType(const std::string& type, const std::string& what) {
  throw Error(StrCat(what, ": type ", Quoted(type), " is not supported"));
}

int32_t TokenId(const Json& value, const std::string& what, const std::string& token) {
  SQ_CHECK(IsId(value), what, ": ", Quoted(token), ": expected an id from 0 to 2147483647, found ",
           Quoted(value.dump()));
  return value.get<int32_t>();
}

std::vector<NormalizeStep> ParseNormalizer(const Json& file, const std::string& file_name) {
  const std::string what = file_name + ": normalizer";
  std::vector<NormalizeStep> steps;
  for (const Json* component : Components(file, "normalizer", "normalizers", file_name)) {
    const std::string type = Type(*component, what);
    const std::string step_what = StrCat(what, ": ", type);
    const auto add = [&](NormalizeKind kind) -> NormalizeStep& {
      NormalizeStep& step = steps.emplace_back();
      step.kind = kind;
      return step;
    };
    if (type == "NFC") {
      add(NormalizeKind::kNfc);
    } else if (type == "Prepend") {
      add(NormalizeKind::kPrepend).to = JsonString(*component, "prepend", step_what);
    } else if (type == "Replace") {
      NormalizeStep& step = add(NormalizeKind::kReplace);
      ReplacePattern(*component, step_what, &step.from, &step.pattern);
      step.to = JsonString(*component, "content", step_what);
    } else if (type == "Strip") {
      if (JsonBool(*component, "strip_left", step_what)) add(NormalizeKind::kStripLeft);
      if (JsonBool(*component, "strip_right", step_what)) add(NormalizeKind::kStripRight);
    } else if (type == "Precompiled") {
      const std::string table =
          DecodeBase64(JsonString(*component, "precompiled_charsmap", step_what), step_what);
      add(NormalizeKind::kCharacterMap).characters =
          std::make_shared<const CharacterMap>(table, step_what);
    } else if (type == "ByteLevel") {
      add(NormalizeKind::kSpellBytes);
    } else {
      RefuseType(type, what);
    }
  }
  return steps;
}

ParsedPreTokenizer ParsePreTokenizer(const Json& file, const std::string& file_name,
                                     bool of_characters) {
  const std::string what = file_name + ": pre_tokenizer";
  std::vector<SplitStep> steps;
  for (const Json* component : Components(file, "pre_tokenizer", "pretokenizers", file_name)) {
    const std::string type = Type(*component, what);
    const std::string step_what = StrCat(what, ": ", type);
    if (type == "Metaspace") {
      steps.push_back(ParseMetaspace(*component, step_what));
    } else if (type == "ByteLevel") {
      SplitStep& step = steps.emplace_back();
      step.spell_bytes = true;
      step.add_prefix_space = JsonBool(*component, "add_prefix_space", step_what);
      if (JsonBool(*component, "use_regex", step_what, true)) {
        step.pattern.emplace(kByteLevelPattern, step_what);
      }
    } else {
      steps.push_back(ParseSplit(*component, what));
    }
  }
  // If only the last step converts to byte-level characters, the model can take raw bytes.
  const auto spells = [](const SplitStep& step) { return step.spell_bytes; };
  const bool last_alone = std::count_if(steps.begin(), steps.end(), spells) == 1 &&
                          steps.back().spell_bytes && !of_characters;
  if (last_alone) steps.back().spell_bytes = false;
  const bool asks_for_start = std::any_of(steps.begin(), steps.end(),
                                          [](const SplitStep& step) { return step.only_first; });
  return {PreTokenizer(std::move(steps)), last_alone ? BpeSymbols::kBytes : BpeSymbols::kCharacters,
          asks_for_start};
}

std::vector<DecodeStep> ParseDecoder(const Json& file, const std::string& file_name) {
  const std::string what = file_name + ": decoder";
  std::vector<DecodeStep> steps;
  for (const Json* component : Components(file, "decoder", "decoders", file_name)) {
    const std::string type = Type(*component, what);
    const std::string step_what = StrCat(what, ": ", type);
    DecodeStep step;
    if (type == "ByteLevel") {  // its options belong to the pre-tokenizer
      step.kind = DecodeKind::kByteLevel;
    } else if (type == "ByteFallback") {
      step.kind = DecodeKind::kByteFallback;
    } else if (type == "Fuse") {
      step.kind = DecodeKind::kFuse;
    } else if (type == "Replace") {
      step.kind = DecodeKind::kReplace;
      ReplacePattern(*component, step_what, &step.from, &step.pattern);
      step.to = JsonString(*component, "content", step_what);
    } else if (type == "Strip") {
      step.kind = DecodeKind::kStrip;
      step.from = Character(*component, "content", step_what);
      step.start = Count(*component, "start", step_what);
      step.stop = Count(*component, "stop", step_what);
    } else if (type == "Metaspace") {
      step.kind = DecodeKind::kMetaspace;
      step.from = Character(*component, "replacement", step_what);
      step.start = ParsePrependScheme(*component, step_what) != PrependScheme::kNever;
    } else {
      RefuseType(type, what);
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

AddedIds ParsePostProcessor(const Json& file, const std::string& file_name) {
  AddedIds ids;
  const std::string what = file_name + ": post_processor";
  for (const Json* component : Components(file, "post_processor", "processors", file_name)) {
    const std::string type = Type(*component, what);
    if (type == "TemplateProcessing") {
      ParseTemplate(*component, StrCat(what, ": ", type), &ids);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      ids.prefix.insert(ids.prefix.begin(), EndToken(*component, "cls", what));
      ids.suffix.push_back(EndToken(*component, "sep", what));
    } else if (type != "ByteLevel") {  // affects offsets, not ids
      RefuseType(type, what);
    }
  }
  return ids;
}

}  // namespace sq
