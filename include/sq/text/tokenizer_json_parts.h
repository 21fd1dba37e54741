// Parses the parts of a tokenizer.json that run before and after its model: normalizer,
// pre-tokenizer, decoder and post-processor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sq/text/bpe.h"
#include "sq/text/normalizer.h"
#include "sq/text/pre_tokenizer.h"
#include "sq/text/token_decoder.h"

namespace sq {

// Each parses one part of the file. All throw sq::Error, beginning with `what` and the name of the
// part, for unsupported types or values. A part that is missing or null does nothing. Unknown
// fields are ignored, as in Hugging Face.
std::vector<NormalizeStep> ParseNormalizer(const nlohmann::json& file, const std::string& what);
std::vector<DecodeStep> ParseDecoder(const nlohmann::json& file, const std::string& what);

struct ParsedPreTokenizer {
  PreTokenizer pre_tokenizer;
  // kBytes: words are raw bytes, which the ByteLevel step would convert.
  BpeSymbols symbols = BpeSymbols::kCharacters;
  bool asks_for_start = false;  // whether a step treats the start of a text differently
};
// `of_characters`: the model takes words in byte-level characters, never raw bytes.
ParsedPreTokenizer ParsePreTokenizer(const nlohmann::json& file, const std::string& what,
                                     bool of_characters = false);

struct AddedIds {
  std::vector<int32_t> prefix;  // before a text
  std::vector<int32_t> suffix;  // and after it
};
AddedIds ParsePostProcessor(const nlohmann::json& file, const std::string& what);

// Throws sq::Error, beginning with `what`, unless `object` is an object with no other keys than the
// given ones: an unknown option might change the ids.
void CheckKeys(const nlohmann::json& object, std::initializer_list<const char*> known,
               const std::string& what);
[[noreturn]] void RefuseType(const std::string& type, const std::string& what);
// Parses `value` as the id of `token`.
int32_t TokenId(const nlohmann::json& value, const std::string& what, const std::string& token);
// Whether `object` has no `key`, or null there.
bool IsNull(const nlohmann::json& object, const char* key);

}  // namespace sq
