// What tokenizer_config.json and special_tokens_map.json say that a tokenizer's own file does not.
#pragma once

#include <optional>
#include <string>

namespace sq {

struct TokenizerConfig {
  std::string tokenizer_class;  // empty: not given
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
};

// Reads tokenizer_config.json of a model folder and, for tokens it does not name,
// special_tokens_map.json; neither need be there. Throws sq::Error for damaged files.
TokenizerConfig ReadTokenizerConfig(const std::string& model_dir);

}  // namespace sq
