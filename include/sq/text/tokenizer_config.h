// What tokenizer_config.json and the files beside it say that a tokenizer's own file does not.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sq/text/added_tokens.h"

namespace sq {

// A special token as the files name it.
struct NamedToken {
  AddedToken token;        // without an id (-1)
  bool is_object = false;  // given with its properties, not by its text alone
  bool is_listed = false;  // in additional_special_tokens or extra_special_tokens
};

struct TokenizerConfig {
  // Without "Fast". Of tokenizer_config.json, else of config.json; else, where there is no
  // tokenizer.json, the one that goes with the files and the model_type. Empty: none of them says.
  std::string tokenizer_class;
  std::string model_type;  // of config.json, where it was needed
  // The tokens' texts; the class's own where the files do not name them, none where they say null.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> sep_token;
  std::optional<std::string> cls_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;  // the class's own where it is not given
  std::optional<bool> legacy;
  bool split_special_tokens = false;
  bool fix_mistral_regex = false;
  // All that are named (bos_token, ..., additional_special_tokens, ...), without repeats and in the
  // order in which transformers adds those that the vocabulary lacks.
  std::vector<NamedToken> special_tokens;
  // Of "added_tokens_decoder" or, where that is missing, added_tokens.json; by id.
  std::vector<AddedToken> added_tokens;
  // Whether they are of "added_tokens_decoder", which counts more than a tokenizer.json.
  bool has_added_tokens_decoder = false;
};

// Reads tokenizer_config.json of a model folder and, for what it does not say,
// special_tokens_map.json, added_tokens.json and config.json; none need be there. As in
// transformers, the first two are read only where there is no "added_tokens_decoder", and then
// special_tokens_map.json counts more than tokenizer_config.json. Throws sq::Error for damaged
// files and for settings that change ids in a way that is not implemented.
TokenizerConfig ReadTokenizerConfig(const std::string& model_dir);

// Reads an added token of a tokenizer.json or of "added_tokens_decoder"; its id is left to the
// caller. Throws sq::Error, opening with `what`, for damage and for options that are not known.
AddedToken ParseAddedToken(const nlohmann::json& item, const std::string& what);

}  // namespace sq
