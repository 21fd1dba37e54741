// What transformers' tokenizer classes take for granted, that is, what stands in no file of a
// model.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace sq {

// The tokens that a tokenizer names, in the order in which transformers adds those that the
// vocabulary lacks.
inline constexpr std::array<const char*, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// What a class puts around a text.
enum class Ends {
  kOfFile,          // what the post_processor of a tokenizer.json says; nothing without one
  kNoBos,           // the same, but add_bos_token is an error
  kBosFlag,         // BOS by add_bos_token
  kBosAndEosFlags,  // BOS and EOS by add_bos_token and add_eos_token
  kClsAndSep,       // cls_token and sep_token
};

// How a class cuts texts where vocab.json and merges.txt are all that there is.
enum class SplitRule {
  kNone,          // such a class needs a tokenizer.json
  kByteLevel,     // GPT-2's
  kNfcByteLevel,  // the same, of composed characters
  kQwen2,         // Qwen2's own, of composed characters
};

// What a class makes of tokenizer_config.json without add_prefix_space.
enum class PrefixSpace { kOfFile, kNever };

struct TokenizerClass {
  std::string_view name;  // without "Fast"
  Ends ends;              // with a tokenizer.json or a tokenizer.model
  bool adds_bos;          // add_bos_token where that is not given
  PrefixSpace prefix_space;
  bool has_sentencepiece;  // can be read from a tokenizer.model
  SplitRule split;
  Ends split_ends;                        // with vocab.json and merges.txt
  std::array<const char*, 7> tokens;      // kNamedTokens where they are not given; nullptr: none
  std::array<const char*, 4> extra_keys;  // further keys that name special tokens, ...
  std::array<const char*, 4> extras;      // ... and which these are where they are not given
};

// The class of this name, with or without "Fast"; nullptr when it is not known, which means a class
// that goes by tokenizer.json alone.
const TokenizerClass* FindTokenizerClass(std::string_view name);

// The name without "Fast".
std::string_view TokenizerClassName(std::string_view name);

// The name of the class that transformers takes for vocab.json and merges.txt of a model_type of
// config.json; empty when it takes none.
std::string_view TokenizerClassOfModel(std::string_view model_type);

}  // namespace sq
