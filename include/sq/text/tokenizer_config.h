// What tokenizer_config.json and the files beside it say that a tokenizer's own file does not.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sq/text/added_tokens.h"

namespace sq {

struct TokenizerConfig {
  std::string tokenizer_class;  // empty: not given
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
  // bos_token, eos_token, unk_token, pad_token and their like, without repeats.
  std::vector<std::string> special_tokens;
  // Of "added_tokens_decoder" or, where that is missing, added_tokens.json. For tokenizers whose
  // own file has no added tokens; a tokenizer.json has.
  std::vector<AddedToken> added_tokens;
};

// Reads tokenizer_config.json of a model folder and, for what it does not say,
// special_tokens_map.json and added_tokens.json; none need be there. Throws sq::Error for damaged
// files.
TokenizerConfig ReadTokenizerConfig(const std::string& model_dir);

// Reads an added token of a tokenizer.json or of "added_tokens_decoder"; its id is left to the
// caller. Throws sq::Error, opening with `what`, for damage and for options that are not known.
AddedToken ParseAddedToken(const nlohmann::json& item, const std::string& what);

}  // namespace sq
