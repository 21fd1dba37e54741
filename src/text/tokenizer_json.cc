#include "sq/text/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/tokenizer_json_parts.h"

namespace sq {
namespace {

using Json = nlohmann::json;

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

// The type of the model; old files do not name it.
std::string ModelType(const Json& model, const std::string& what) {
  return JsonString(model, "type", what, model.contains("merges") ? "BPE" : "");
}

void ParseBpe(const Json& model, const std::string& what, TokenizerParts* parts) {
  SQ_CHECK(JsonDouble(model, "dropout", what, 0) == 0, what, ": \"dropout\" is not supported");
  CheckEmptyString(model, "continuing_subword_prefix", what);
  CheckEmptyString(model, "end_of_word_suffix", what);
  parts->bpe.byte_fallback = JsonBool(model, "byte_fallback", what, false);
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
  if (IsNull(model, "unk_token")) return;
  const std::string unknown = JsonString(model, "unk_token", what);
  const auto found = parts->vocabulary.find(unknown);
  SQ_CHECK(found != parts->vocabulary.end(), what, ": unk_token ", Quoted(unknown),
           " is not in the vocabulary");
  parts->bpe.unknown_id = found->second;
}

void ParseUnigram(const Json& model, const std::string& what, TokenizerParts* parts) {
  UnigramOptions& unigram = parts->unigram.emplace();
  unigram.byte_fallback = JsonBool(model, "byte_fallback", what, false);
  const Json& vocabulary = JsonMember(model, "vocab", what);
  SQ_CHECK(vocabulary.is_array(), what, ": \"vocab\": expected an array, found ",
           JsonTypeName(vocabulary));
  unigram.pieces.reserve(vocabulary.size());
  for (const Json& piece : vocabulary) {
    const size_t id = unigram.pieces.size();
    SQ_CHECK(piece.is_array() && piece.size() == 2 && piece[0].is_string() && piece[1].is_number(),
             what, ": piece ", id, ": expected a text and its score, as [\"a\", -1.5]");
    unigram.pieces.emplace_back(piece[0].get<std::string>(), piece[1].get<double>());
    parts->vocabulary.emplace(unigram.pieces.back().first, static_cast<int32_t>(id));
  }
  if (!IsNull(model, "unk_id")) unigram.unknown_id = TokenId(model["unk_id"], what, "unk_id");
}

// Hugging Face gives an added token its id in the vocabulary or else the next free one, whatever id
// the file has. A file with another id is rejected.
void ParseAddedTokens(const Json& file, const std::string& file_name, TokenizerParts* parts) {
  if (IsNull(file, "added_tokens")) return;
  const std::string what = file_name + ": added_tokens";
  const Json& tokens = file["added_tokens"];
  SQ_CHECK(tokens.is_array(), what, ": expected an array, found ", JsonTypeName(tokens));
  Vocabulary added;
  auto next = static_cast<int64_t>(parts->vocabulary.size());
  for (const Json& item : tokens) {
    AddedToken token = ParseAddedToken(item, what);
    token.id = TokenId(JsonMember(item, "id", what), what, token.content);
    if (token.content.empty()) continue;  // as in Hugging Face
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

bool MayRemoveStart(const NormalizeStep& step) {
  return step.kind == NormalizeKind::kStripLeft || step.kind == NormalizeKind::kCharacterMap ||
         (step.kind == NormalizeKind::kReplace && step.to.empty());
}

// Ids without a token would be outside the embedding of the model.
void CheckIds(const std::vector<int32_t>& ids, const TokenizerParts& parts,
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

TokenizerParts ParseTokenizerJson(const Json& file, const std::string& what) {
  CheckKeys(file,
            {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
             "post_processor", "decoder", "model"},
            what);
  const std::string model_what = what + ": model";
  const Json& model = JsonMember(file, "model", what);
  SQ_CHECK(model.is_object(), model_what, ": expected an object, found ", JsonTypeName(model));
  const std::string type = ModelType(model, model_what);
  const bool is_unigram = type == "Unigram";
  if (!is_unigram && type != "BPE") RefuseType(type, model_what);
  TokenizerParts parts;
  parts.normalizer = ParseNormalizer(file, what);
  // Byte fallback and Unigram look bytes up by their spelling.
  const bool of_characters = is_unigram || JsonBool(model, "byte_fallback", model_what, false);
  ParsedPreTokenizer parsed = ParsePreTokenizer(file, what, of_characters);
  // In Hugging Face, the start of a text is that of the original text.
  SQ_CHECK(!parsed.asks_for_start ||
               std::none_of(parts.normalizer.begin(), parts.normalizer.end(), MayRemoveStart),
           what,
           ": pre_tokenizer: \"prepend_scheme\" \"first\" behind a normalizer that may remove the "
           "start of a text is not supported");
  parts.pre_tokenizer = std::move(parsed.pre_tokenizer);
  parts.bpe.symbols = parsed.symbols;
  parts.decoder = ParseDecoder(file, what);
  is_unigram ? ParseUnigram(model, model_what, &parts) : ParseBpe(model, model_what, &parts);
  ParseAddedTokens(file, what, &parts);
  AddedIds added = ParsePostProcessor(file, what);
  parts.prefix = std::move(added.prefix);
  parts.suffix = std::move(added.suffix);
  CheckIds(parts.prefix, parts, what);
  CheckIds(parts.suffix, parts, what);
  return parts;
}

}  // namespace sq
