// The contents of tokenizer_config.json and of the files that complement it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sq/text/added_tokens.h"

namespace sq {

// A special token named in the files.
struct NamedToken {
  AddedToken token;        // without an id (-1)
  bool is_object = false;  // given as an object with properties, not as a string
  bool is_listed = false;  // in additional_special_tokens or extra_special_tokens
};

struct TokenizerConfig {
  // Without "Fast". From tokenizer_config.json or else config.json; if neither names one and there
  // is no tokenizer.json, derived from the files and the model_type. Empty if unknown.
  std::string tokenizer_class;
  std::string model_type;  // from config.json, if it was needed
  // Texts of the tokens: the defaults of the class if the files do not name them, none if they say
  // null.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> sep_token;
  std::optional<std::string> cls_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;  // the default of the class if not given
  std::optional<bool> legacy;
  bool split_special_tokens = false;
  bool fix_mistral_regex = false;
  // All named tokens (bos_token, ..., additional_special_tokens, ...), without duplicates and in
  // the order in which transformers adds those that the vocabulary lacks.
  std::vector<NamedToken> special_tokens;
  // From "added_tokens_decoder" or else added_tokens.json, by id.
  std::vector<AddedToken> added_tokens;
  // Whether they are from "added_tokens_decoder", which takes precedence over tokenizer.json.
  bool has_added_tokens_decoder = false;
};

// Reads tokenizer_config.json of a model folder and, for missing settings, special_tokens_map.json,
// added_tokens.json and config.json; all are optional. As in transformers, the first two are read
// only if there is no "added_tokens_decoder", and special_tokens_map.json then takes precedence
// over tokenizer_config.json. Throws sq::Error for damaged files and for unsupported settings that
// change ids.
TokenizerConfig ReadTokenizerConfig(const std::string& model_dir);

// Reads an added token of a tokenizer.json or of "added_tokens_decoder"; the caller sets its id.
// Throws sq::Error, beginning with `what`, for damage and for unknown options.
AddedToken ParseAddedToken(const nlohmann::json& item, const std::string& what);

}  // namespace sq
