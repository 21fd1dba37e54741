#include "sq/text/tokenizer_json.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"

namespace sq {
namespace {

using Json = nlohmann::json;

// Digits asks Rust, whose Unicode (17.0) is ahead of the regular expressions' by these.
constexpr const char* kNumericPattern = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";

bool IsNull(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null();
}

// Throws unless `object` is an object with none but the given keys: an option that is not known may
// change the ids.
void CheckKeys(const Json& object, std::initializer_list<const char*> known,
               const std::string& what) {
  SQ_CHECK(object.is_object(), what, ": expected an object, found ", JsonTypeName(object));
  for (const auto& [key, value] : object.items()) {
    SQ_CHECK(std::find(known.begin(), known.end(), key) != known.end(), what, ": option ",
             Quoted(key), " is not supported");
  }
}

std::string Type(const Json& component, const std::string& what) {
  return JsonString(component, "type", what);
}

[[noreturn]] void RefuseType(const std::string& type, const std::string& what) {
  throw Error(StrCat(what, ": type ", Quoted(type), " is not supported"));
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

int32_t TokenId(const Json& value, const std::string& what, const std::string& token) {
  SQ_CHECK(IsId(value), what, ": ", Quoted(token), ": expected an id from 0 to 2147483647, found ",
           Quoted(value.dump()));
  return value.get<int32_t>();
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

PreTokenizer ParsePreTokenizer(const Json& file, const std::string& file_name) {
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
    } else {
      RefuseType(type, what);
    }
    steps.push_back(std::move(step));
  }
  SQ_CHECK(bytes, what, ": without ByteLevel is not supported");
  return PreTokenizer(std::move(steps));
}

std::pair<std::string, std::string> ParseMerge(const Json& merge, size_t rank,
                                               const std::string& what) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  throw Error(
      StrCat(what, ": merge ", rank, ": expected two tokens, as \"a b\" or [\"a\", \"b\"]"));
}

void CheckEmptyString(const Json& model, const char* key, const std::string& what) {
  SQ_CHECK(JsonString(model, key, what, "").empty(), what, ": \"", key, "\" is not supported");
}

void ParseModel(const Json& file, const std::string& file_name, ByteLevelParts* parts) {
  const std::string what = file_name + ": model";
  const Json& model = JsonMember(file, "model", file_name);
  // Old files do not name the type; only BPE has merges.
  const std::string type = JsonString(model, "type", what, model.contains("merges") ? "BPE" : "");
  if (type != "BPE") RefuseType(type, what);
  CheckKeys(model,
            {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
             "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"},
            what);
  SQ_CHECK(JsonDouble(model, "dropout", what, 0) == 0, what, ": \"dropout\" is not supported");
  CheckEmptyString(model, "continuing_subword_prefix", what);
  CheckEmptyString(model, "end_of_word_suffix", what);
  SQ_CHECK(!JsonBool(model, "byte_fallback", what, false), what,
           ": \"byte_fallback\" is not supported");
  parts->bpe.ignore_merges = JsonBool(model, "ignore_merges", what, false);
  parts->bpe.fuse_unknown = JsonBool(model, "fuse_unk", what, false);

  const Json& vocabulary = JsonMember(model, "vocab", what);
  SQ_CHECK(vocabulary.is_object(), what, ": \"vocab\": expected an object, found ",
           JsonTypeName(vocabulary));
  parts->vocabulary.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    parts->vocabulary.emplace(token, TokenId(id, what, token));
  }
  const Json& merges = JsonMember(model, "merges", what);
  SQ_CHECK(merges.is_array(), what, ": \"merges\": expected an array, found ",
           JsonTypeName(merges));
  parts->merges.reserve(merges.size());
  for (const Json& merge : merges) {
    parts->merges.push_back(ParseMerge(merge, parts->merges.size(), what));
  }
  if (!IsNull(model, "unk_token")) {
    const std::string unknown = JsonString(model, "unk_token", what);
    const auto found = parts->vocabulary.find(unknown);
    SQ_CHECK(found != parts->vocabulary.end(), what, ": unk_token ", Quoted(unknown),
             " is not in the vocabulary");
    parts->bpe.unknown_id = found->second;
  }
}

// Hugging Face gives an added token the id that the vocabulary has for it, or else the next free
// one, whatever the file says. A file that says something else is refused rather than guessed at.
void ParseAddedTokens(const Json& file, const std::string& file_name, ByteLevelParts* parts) {
  if (IsNull(file, "added_tokens")) return;
  const std::string what = file_name + ": added_tokens";
  const Json& tokens = file["added_tokens"];
  SQ_CHECK(tokens.is_array(), what, ": expected an array, found ", JsonTypeName(tokens));
  Vocabulary added;
  auto next = static_cast<int64_t>(parts->vocabulary.size());
  for (const Json& item : tokens) {
    AddedToken token = ParseAddedToken(item, what);
    token.id = TokenId(JsonMember(item, "id", what), what, token.content);
    if (token.content.empty()) continue;  // as Hugging Face does
    const auto known = parts->vocabulary.find(token.content);
    const auto before = added.find(token.content);
    const int64_t expected = known != parts->vocabulary.end() ? known->second
                             : before != added.end()          ? before->second
                                                              : next++;
    SQ_CHECK(token.id == expected, what, ": ", Quoted(token.content), " has id ", token.id,
             ", expected ", expected);
    added.emplace(token.content, token.id);
    parts->added_tokens.push_back(std::move(token));
  }
}

void ParseTemplate(const Json& component, const std::string& what, ByteLevelParts* parts) {
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
    const Json& ids = JsonMember(JsonMember(special, name, what), "ids", what);
    SQ_CHECK(ids.is_array(), what, ": ", Quoted(name), ": expected a list of ids");
    for (const Json& id : ids) {
      (past_text ? after : before).push_back(TokenId(id, what, name));
    }
  }
  SQ_CHECK(past_text, what, ": \"single\" without the text");
  parts->prefix.insert(parts->prefix.begin(), before.begin(), before.end());
  parts->suffix.insert(parts->suffix.end(), after.begin(), after.end());
}

void ParsePostProcessor(const Json& file, const std::string& file_name, ByteLevelParts* parts) {
  const std::string what = file_name + ": post_processor";
  for (const Json* component : Components(file, "post_processor", "processors", file_name)) {
    const std::string type = Type(*component, what);
    if (type == "TemplateProcessing") {
      ParseTemplate(*component, StrCat(what, ": ", type), parts);
    } else if (type != "ByteLevel") {  // which moves offsets, not ids
      RefuseType(type, what);
    }
  }
}

// Ids that come from nowhere would be out of the model's embedding.
void CheckIds(const std::vector<int32_t>& ids, const ByteLevelParts& parts,
              const std::string& what) {
  for (const int32_t id : ids) {
    const auto has_id = [&](const auto& token) { return token.id == id; };
    const bool known = std::any_of(parts.added_tokens.begin(), parts.added_tokens.end(), has_id) ||
                       std::any_of(parts.vocabulary.begin(), parts.vocabulary.end(),
                                   [&](const auto& entry) { return entry.second == id; });
    SQ_CHECK(known, what, ": post_processor: no token has id ", id);
  }
}

}  // namespace

bool IsByteLevel(const Json& file) {
  if (!file.is_object()) return false;
  for (const char* key : {"pre_tokenizer", "decoder"}) {
    const auto component = file.find(key);
    if (component == file.end() || !component->is_object()) continue;
    const auto is_byte_level = [](const Json& item) {
      return item.is_object() && item.value("type", Json()) == "ByteLevel";
    };
    if (is_byte_level(*component)) return true;
    for (const char* list_key : {"pretokenizers", "decoders"}) {
      const auto list = component->find(list_key);
      if (list == component->end() || !list->is_array()) continue;
      if (std::any_of(list->begin(), list->end(), is_byte_level)) return true;
    }
  }
  return false;
}

ByteLevelParts ParseTokenizerJson(const Json& file, const std::string& what) {
  CheckKeys(file,
            {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
             "post_processor", "decoder", "model"},
            what);
  ByteLevelParts parts;
  for (const Json* normalizer : Components(file, "normalizer", "normalizers", what)) {
    RefuseType(Type(*normalizer, what + ": normalizer"), what + ": normalizer");
  }
  parts.pre_tokenizer = ParsePreTokenizer(file, what);
  const std::vector<const Json*> decoders = Components(file, "decoder", "decoders", what);
  for (const Json* decoder : decoders) {
    const std::string type = Type(*decoder, what + ": decoder");
    if (type != "ByteLevel") RefuseType(type, what + ": decoder");
  }
  SQ_CHECK(decoders.size() == 1, what, ": decoder: expected one, ByteLevel, found ",
           decoders.size());
  ParseModel(file, what, &parts);
  ParseAddedTokens(file, what, &parts);
  ParsePostProcessor(file, what, &parts);
  CheckIds(parts.prefix, parts, what);
  CheckIds(parts.suffix, parts, what);
  return parts;
}

}  // namespace sq
