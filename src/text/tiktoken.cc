#include "sq/text/tiktoken.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "sq/base/error.h"
#include "sq/text/rank_vocabulary.h"

namespace sq {
namespace {

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr const char* kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr const char* kO200kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Special tokens in the order of their ids, which follow the vocabulary; "" for an id without a
// token.
using Names = std::vector<std::string>;

// The tokens `begin` + number + `end` for the numbers first to last.
void AppendNumbered(const std::string& begin, int first, int last, const std::string& end,
                    Names* names) {
  for (int i = first; i <= last; ++i) names->push_back(StrCat(begin, i, end));
}

Names R50kNames() { return {"<|endoftext|>"}; }

Names Cl100kNames() {
  Names names = {"", "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"};
  names.resize(20);
  names.emplace_back("<|endofprompt|>");
  return names;
}

// tiktoken's o200k_harmony, a superset of o200k_base.
Names O200kNames() {
  Names names = {"<|startoftext|>", "<|endoftext|>", "<|reserved_200000|>", "<|reserved_200001|>",
                 "<|return|>",      "<|constrain|>", "<|reserved_200004|>", "<|channel|>",
                 "<|start|>",       "<|end|>",       "<|message|>"};
  AppendNumbered("<|reserved_", 200009, 200011, "|>", &names);
  names.emplace_back("<|call|>");
  AppendNumbered("<|reserved_", 200013, 200017, "|>", &names);
  names.emplace_back("<|endofprompt|>");
  AppendNumbered("<|reserved_", 200019, 201087, "|>", &names);
  return names;
}

Names QwenNames() {
  Names names = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  AppendNumbered("<|extra_", 0, 204, "|>", &names);
  return names;
}

Names Llama3Names() {
  Names names = {"<|begin_of_text|>",
                 "<|end_of_text|>",
                 "<|reserved_special_token_0|>",
                 "<|reserved_special_token_1|>",
                 "<|finetune_right_pad_id|>",
                 "<|step_id|>",
                 "<|start_header_id|>",
                 "<|end_header_id|>",
                 "<|eom_id|>",
                 "<|eot_id|>",
                 "<|python_tag|>",
                 "<|image|>"};
  AppendNumbered("<|reserved_special_token_", 2, 245, "|>", &names);
  return names;
}

Names Llama4Names() {
  Names names = {"<|begin_of_text|>", "<|end_of_text|>",  "<|fim_prefix|>", "<|fim_middle|>",
                 "<|fim_suffix|>",    "<|header_start|>", "<|header_end|>", "<|eom|>",
                 "<|eot|>",           "<|step|>"};
  const std::string text = "<|text_post_train_reserved_special_token_";
  AppendNumbered(text, 0, 5, "|>", &names);
  for (const char* name : {"<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"}) {
    names.emplace_back(name);
  }
  AppendNumbered(text, 8, 68, "|>", &names);
  const std::string vision = "<|vision_reserved_special_token_";
  for (const char* name : {"<|image_start|>", "<|image_end|>"}) names.emplace_back(name);
  AppendNumbered(vision, 0, 1, "|>", &names);
  for (const char* name : {"<|tile_x_separator|>", "<|tile_y_separator|>"}) {
    names.emplace_back(name);
  }
  AppendNumbered(vision, 2, 5, "|>", &names);
  names.emplace_back("<|image|>");
  names.push_back(vision + "6|>");
  names.emplace_back("<|patch|>");
  AppendNumbered(vision, 7, 1047, "|>", &names);
  AppendNumbered("<|reasoning_reserved_special_token_", 0, 7, "|>", &names);
  names.emplace_back("<|reasoning_thinking_start|>");
  names.emplace_back("<|reasoning_thinking_end|>");
  AppendNumbered("<|reserved_special_token_", 0, 903, "|>", &names);
  return names;
}

struct Encoding {
  const char* name;
  const char* file;  // name that only this encoding has; null: none
  size_t tokens;     // without special tokens
  const char* pattern;
  bool composed;    // texts are normalized to NFC first
  const char* bos;  // null: no BOS is added
  const char* eos;
  Names (*names)();
};

constexpr std::array<Encoding, 6> kEncodings = {{
    {"r50k_base", "r50k_base.tiktoken", 50256, kByteLevelPattern, false, nullptr, "<|endoftext|>",
     R50kNames},
    {"cl100k_base", "cl100k_base.tiktoken", 100256, kLlama3Pattern, false, nullptr, "<|endoftext|>",
     Cl100kNames},
    {"o200k_base", "o200k_base.tiktoken", 199998, kO200kPattern, false, nullptr, "<|endoftext|>",
     O200kNames},
    {"Qwen", "qwen.tiktoken", 151643, kQwenPattern, true, nullptr, "<|endoftext|>", QwenNames},
    {"LLaMA-3", nullptr, 128000, kLlama3Pattern, false, "<|begin_of_text|>", "<|end_of_text|>",
     Llama3Names},
    {"LLaMA-4", nullptr, 200000, kO200kPattern, false, "<|begin_of_text|>", "<|end_of_text|>",
     Llama4Names},
}};

const Encoding& FindEncoding(const std::string& path, size_t tokens) {
  const std::string file = std::filesystem::path(path).filename().string();
  std::string known;
  for (const Encoding& encoding : kEncodings) {
    if (tokens == encoding.tokens || (encoding.file != nullptr && file == encoding.file)) {
      return encoding;
    }
    known += StrCat(known.empty() ? "" : ", ", encoding.name, " (", encoding.tokens, ")");
  }
  throw Error(StrCat(path, ": a tiktoken file of ", tokens,
                     " tokens, of which the rule that cuts words is not known; known are ", known));
}

// The special tokens after a vocabulary of `first` tokens.
std::vector<AddedToken> SpecialTokens(const Encoding& encoding, int32_t first,
                                      const TokenizerConfig& config) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : config.added_tokens) {
    if (token.id >= first) tokens.push_back(token);
  }
  if (!tokens.empty()) return tokens;
  int32_t id = first;
  for (const std::string& name : encoding.names()) {
    AddedToken token;
    token.id = id++;
    token.content = name;
    token.special = true;
    if (!name.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

std::string FindTiktokenFile(const std::string& model_dir) {
  const auto path = [&](const char* name) {
    return (std::filesystem::path(model_dir) / name).string();
  };
  for (const Encoding& encoding : kEncodings) {
    if (encoding.file != nullptr && IsRankFile(path(encoding.file))) return path(encoding.file);
  }
  for (const char* name : {"tokenizer.model", "tiktoken.model"}) {
    if (IsRankFile(path(name))) return path(name);
  }
  return "";
}

TokenizerParts ReadTiktoken(const std::string& path, TokenizerConfig* config) {
  Vocabulary vocabulary = ReadRankFile(path);
  const Encoding& encoding = FindEncoding(path, vocabulary.size());
  CheckRanks(vocabulary, StrCat(path, ": not the vocabulary of ", encoding.name));
  const auto size = static_cast<int32_t>(vocabulary.size());
  TokenizerParts parts = MakeRankParts(std::move(vocabulary), encoding.pattern, path);
  if (encoding.composed) parts.normalizer.emplace_back().kind = NormalizeKind::kNfc;
  parts.added_tokens = SpecialTokens(encoding, size, *config);
  // A name without a token is a default of some tokenizer class, such as "<s>".
  const auto is_named = [&](const std::optional<std::string>& name) {
    return std::any_of(parts.added_tokens.begin(), parts.added_tokens.end(),
                       [&](const AddedToken& token) { return name == token.content; });
  };
  if (!is_named(config->eos_token)) config->eos_token = encoding.eos;
  if (encoding.bos == nullptr) return parts;
  if (!is_named(config->bos_token)) config->bos_token = encoding.bos;
  AddBosAndEos(*config, &parts);
  return parts;
}

}  // namespace sq
