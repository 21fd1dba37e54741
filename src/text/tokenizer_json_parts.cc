#include "sq/text/tokenizer_json_parts.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/bpe_tokenizer.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

using Json = nlohmann::json;

// Digits asks Rust, whose Unicode (17.0) is ahead of the regular expressions' by these.
constexpr const char* kNumericPattern = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";

std::string Type(const Json& component, const std::string& what) {
  return JsonString(component, "type", what);
}

// The members of a Sequence, or the component alone; nothing for null. Nested sequences are
// flattened.
void Flatten(const Json& component, const char* list_key, const std::string& what,
             std::vector<const Json*>* out) {
  if (component.is_null()) return;
  if (Type(component, what) != "Sequence") return out->push_back(&component);
  CheckKeys(component, {"type", list_key}, what);
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

// The text that a Replace looks for; {"Regex": ...} has no use in the tokenizers known.
std::string LiteralPattern(const Json& component, const std::string& what) {
  const Json& pattern = JsonMember(component, "pattern", what);
  CheckKeys(pattern, {"String"}, StrCat(what, ": pattern"));
  std::string text = JsonString(pattern, "String", what);
  SQ_CHECK(!text.empty(), what, ": empty pattern");
  return text;
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
  // Old files have add_prefix_space in its place.
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
  const Json& pattern = JsonMember(step, "pattern", what);
  CheckKeys(pattern, {"Regex", "String"}, StrCat(what, ": pattern"));
  SQ_CHECK(pattern.size() == 1, what, ": \"pattern\": expected either \"Regex\" or \"String\"");
  if (pattern.contains("Regex")) return Regex(JsonString(pattern, "Regex", what), what);
  return Regex::Literal(JsonString(pattern, "String", what), what);
}

// Metaspace, SentencePiece's way with spaces: each becomes a symbol, which also goes in front.
SplitStep ParseMetaspace(const Json& component, const std::string& what) {
  CheckKeys(component,
            {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"},
            what);
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

void ParseTemplate(const Json& component, const std::string& what, AddedIds* ids) {
  CheckKeys(component, {"type", "single", "pair", "special_tokens"}, what);
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
    if (type == "NFC") {
      CheckKeys(*component, {"type"}, step_what);
      steps.push_back({NormalizeKind::kNfc, "", ""});
    } else if (type == "Prepend") {
      CheckKeys(*component, {"type", "prepend"}, step_what);
      steps.push_back({NormalizeKind::kPrepend, "", JsonString(*component, "prepend", step_what)});
    } else if (type == "Replace") {
      CheckKeys(*component, {"type", "pattern", "content"}, step_what);
      steps.push_back({NormalizeKind::kReplace, LiteralPattern(*component, step_what),
                       JsonString(*component, "content", step_what)});
    } else {
      RefuseType(type, what);
    }
  }
  return steps;
}

ParsedPreTokenizer ParsePreTokenizer(const Json& file, const std::string& file_name) {
  const std::string what = file_name + ": pre_tokenizer";
  std::vector<SplitStep> steps;
  bool bytes = false;  // words have become byte-level characters
  for (const Json* component : Components(file, "pre_tokenizer", "pretokenizers", file_name)) {
    SQ_CHECK(!bytes, what, ": a step after ByteLevel is not supported");
    const std::string type = Type(*component, what);
    const std::string step_what = StrCat(what, ": ", type);
    SplitStep step;
    if (type == "ByteLevel") {
      CheckKeys(*component, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, step_what);
      step.add_prefix_space = JsonBool(*component, "add_prefix_space", step_what);
      if (JsonBool(*component, "use_regex", step_what, true)) {
        step.pattern.emplace(kByteLevelPattern, step_what);
      }
      bytes = true;
    } else if (type == "Digits") {
      CheckKeys(*component, {"type", "individual_digits"}, step_what);
      step.pattern.emplace(kNumericPattern, step_what);
      step.behavior = JsonBool(*component, "individual_digits", step_what)
                          ? SplitBehavior::kIsolated
                          : SplitBehavior::kContiguous;
    } else if (type == "Split") {
      CheckKeys(*component, {"type", "pattern", "behavior", "invert"}, step_what);
      step.pattern.emplace(SplitPattern(*component, step_what));
      step.behavior = Behavior(JsonString(*component, "behavior", step_what), step_what);
      step.invert = JsonBool(*component, "invert", step_what, false);
    } else if (type == "Metaspace") {
      step = ParseMetaspace(*component, step_what);
    } else {
      RefuseType(type, what);
    }
    steps.push_back(std::move(step));
  }
  return {PreTokenizer(std::move(steps)), bytes ? BpeSymbols::kBytes : BpeSymbols::kCharacters};
}

std::vector<DecodeStep> ParseDecoder(const Json& file, const std::string& file_name) {
  const std::string what = file_name + ": decoder";
  std::vector<DecodeStep> steps;
  for (const Json* component : Components(file, "decoder", "decoders", file_name)) {
    const std::string type = Type(*component, what);
    const std::string step_what = StrCat(what, ": ", type);
    DecodeStep step;
    if (type == "ByteLevel") {  // whose options are the pre-tokenizer's
      step.kind = DecodeKind::kByteLevel;
    } else if (type == "ByteFallback") {
      CheckKeys(*component, {"type"}, step_what);
      step.kind = DecodeKind::kByteFallback;
    } else if (type == "Fuse") {
      CheckKeys(*component, {"type"}, step_what);
      step.kind = DecodeKind::kFuse;
    } else if (type == "Replace") {
      CheckKeys(*component, {"type", "pattern", "content"}, step_what);
      step.kind = DecodeKind::kReplace;
      step.from = LiteralPattern(*component, step_what);
      step.to = JsonString(*component, "content", step_what);
    } else if (type == "Strip") {
      CheckKeys(*component, {"type", "content", "start", "stop"}, step_what);
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
    } else if (type != "ByteLevel") {  // which moves offsets, not ids
      RefuseType(type, what);
    }
  }
  return ids;
}

}  // namespace sq
