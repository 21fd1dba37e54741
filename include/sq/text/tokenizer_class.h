// Defaults of transformers' tokenizer classes that are not stored in the files of a model.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace sq {

// Keys of named special tokens, in the order in which transformers adds those that the vocabulary
// lacks.
inline constexpr std::array<const char*, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// The special tokens that a class adds around a text.
enum class SpecialTokenRule {
  kOfFile,          // those of the post_processor in tokenizer.json; none without one
  kNoBos,           // the same, but add_bos_token is an error
  kBosFlag,         // BOS if add_bos_token
  kBosAndEosFlags,  // BOS if add_bos_token, EOS if add_eos_token
  kClsAndSep,       // cls_token and sep_token
};

// How a class splits texts if only vocab.json and merges.txt are given.
enum class SplitRule {
  kNone,          // the class needs a tokenizer.json
  kByteLevel,     // GPT-2's
  kNfcByteLevel,  // the same after NFC
  kQwen2,         // Qwen2's, after NFC
};

// The default of add_prefix_space.
enum class PrefixSpace { kOfFile, kNever };

struct TokenizerClass {
  std::string_view name;            // without "Fast"
  SpecialTokenRule special_tokens;  // with a tokenizer.json or a tokenizer.model
  bool adds_bos;                    // default of add_bos_token
  PrefixSpace prefix_space;
  bool has_sentencepiece;  // can be read from a tokenizer.model
  SplitRule split;
  SpecialTokenRule vocab_merges_special_tokens;  // with vocab.json and merges.txt
  std::array<const char*, 7> tokens;             // defaults of kNamedTokens; nullptr: none
  std::array<const char*, 4> extra_keys;         // further keys of special tokens, ...
  std::array<const char*, 4> extras;             // ... and their defaults
};

// The class of this name, with or without "Fast"; nullptr for any other class, which follows
// tokenizer.json alone.
const TokenizerClass* FindTokenizerClass(std::string_view name);

// The name without "Fast".
std::string_view TokenizerClassName(std::string_view name);

// The class that transformers uses for vocab.json and merges.txt of a model_type of config.json;
// empty if it uses none.
std::string_view TokenizerClassOfModel(std::string_view model_type);

}  // namespace sq
