// The parts of a tokenizer.json that act before and after its model: normalizer, pre-tokenizer,
// decoder and post-processor.
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

// Each reads one part of a file's contents; all throw sq::Error, opening with `what` and the part's
// name, for a type or a value that is not implemented. A part that is missing or null does nothing;
// fields that a part does not have pass unread, as they do in Hugging Face's.
std::vector<NormalizeStep> ParseNormalizer(const nlohmann::json& file, const std::string& what);
std::vector<DecodeStep> ParseDecoder(const nlohmann::json& file, const std::string& what);

struct ParsedPreTokenizer {
  PreTokenizer pre_tokenizer;
  BpeSymbols symbols = BpeSymbols::kCharacters;  // kBytes: words are bytes, which ByteLevel spells
  bool asks_for_start = false;  // whether a step treats the start of a text in a way of its own
};
// `of_characters`: the model is to get words as they are spelled, never their bytes.
ParsedPreTokenizer ParsePreTokenizer(const nlohmann::json& file, const std::string& what,
                                     bool of_characters = false);

struct AddedIds {
  std::vector<int32_t> prefix;  // before a text
  std::vector<int32_t> suffix;  // and after it
};
AddedIds ParsePostProcessor(const nlohmann::json& file, const std::string& what);

// Throws sq::Error, opening with `what`, unless `object` is an object with none but the given keys:
// an option that is not known may change the ids.
void CheckKeys(const nlohmann::json& object, std::initializer_list<const char*> known,
               const std::string& what);
[[noreturn]] void RefuseType(const std::string& type, const std::string& what);
// The id in `value`, which the file gives for `token`.
int32_t TokenId(const nlohmann::json& value, const std::string& what, const std::string& token);
// Whether `object` has no `key`, or null there.
bool IsNull(const nlohmann::json& object, const char* key);

}  // namespace sq
