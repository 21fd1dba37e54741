#include "sq/text/tokenizer_class.h"

#include <algorithm>

namespace sq {
namespace {

constexpr const char* kEnd = "<|endoftext|>";
constexpr std::array<const char*, 7> kNoTokens = {};
constexpr std::array<const char*, 4> kNoExtras = {};
constexpr std::array<const char*, 4> kInfillKeys = {"prefix_token", "middle_token", "suffix_token",
                                                    "eot_token"};
constexpr std::array<const char*, 4> kInfillTokens = {"\u2581<PRE>", "\u2581<MID>", "\u2581<SUF>",
                                                      "\u2581<EOT>"};

constexpr TokenizerClass LlamaClass(const char* name) {
  TokenizerClass made = {};
  made.name = name;
  made.special_tokens = SpecialTokenRule::kBosAndEosFlags;
  made.adds_bos = true;
  made.prefix_space = PrefixSpace::kOfFile;
  made.has_sentencepiece = true;
  made.tokens = {"<s>", "</s>", "<unk>"};
  return made;
}

constexpr TokenizerClass CodeLlamaClass() {
  TokenizerClass made = LlamaClass("CodeLlamaTokenizer");
  made.extra_keys = kInfillKeys;
  made.extras = kInfillTokens;
  return made;
}

// Classes that add BOS by default and are loaded from tokenizer.json only.
constexpr TokenizerClass BosClass(const char* name, std::array<const char*, 7> tokens) {
  return {name,
          SpecialTokenRule::kBosAndEosFlags,
          true,
          PrefixSpace::kNever,
          false,
          SplitRule::kNone,
          SpecialTokenRule::kOfFile,
          tokens,
          kNoExtras,
          kNoExtras};
}

// Classes that are saved as vocab.json and merges.txt.
constexpr TokenizerClass SplitClass(const char* name, SplitRule split,
                                    SpecialTokenRule special_tokens,
                                    SpecialTokenRule vocab_merges_special_tokens,
                                    std::array<const char*, 7> tokens) {
  return {name,
          special_tokens,
          false,
          PrefixSpace::kNever,
          false,
          split,
          vocab_merges_special_tokens,
          tokens,
          kNoExtras,
          kNoExtras};
}

constexpr TokenizerClass RobertaClass(const char* name) {
  return SplitClass(name, SplitRule::kByteLevel, SpecialTokenRule::kOfFile,
                    SpecialTokenRule::kClsAndSep,
                    {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"});
}

// Defaults of the classes' __init__ in transformers 4.57. The split rule of GPTNeoXTokenizer is
// that of transformers 5, since 4 has none.
constexpr TokenizerClass kClasses[] = {
    LlamaClass("LlamaTokenizer"),
    CodeLlamaClass(),
    BosClass("GemmaTokenizer", {"<bos>", "<eos>", "<unk>", nullptr, "<pad>"}),
    BosClass("CohereTokenizer", {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>"}),
    SplitClass("PreTrainedTokenizer", SplitRule::kNone, SpecialTokenRule::kOfFile,
               SpecialTokenRule::kOfFile, kNoTokens),
    SplitClass("GPT2Tokenizer", SplitRule::kByteLevel, SpecialTokenRule::kOfFile,
               SpecialTokenRule::kBosFlag, {kEnd, kEnd, kEnd}),
    SplitClass("CodeGenTokenizer", SplitRule::kByteLevel, SpecialTokenRule::kNoBos,
               SpecialTokenRule::kNoBos, {kEnd, kEnd, kEnd}),
    SplitClass("Qwen2Tokenizer", SplitRule::kQwen2, SpecialTokenRule::kOfFile,
               SpecialTokenRule::kOfFile, {nullptr, kEnd, kEnd, nullptr, kEnd}),
    SplitClass("GPTNeoXTokenizer", SplitRule::kNfcByteLevel, SpecialTokenRule::kBosAndEosFlags,
               SpecialTokenRule::kBosAndEosFlags, {kEnd, kEnd, kEnd}),
    RobertaClass("RobertaTokenizer"),
    RobertaClass("BartTokenizer"),
    RobertaClass("LongformerTokenizer"),
    RobertaClass("LEDTokenizer"),
    RobertaClass("MvpTokenizer"),
};

}  // namespace

const TokenizerClass* FindTokenizerClass(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kClasses), std::end(kClasses),
                   [&](const TokenizerClass& row) { return row.name == TokenizerClassName(name); });
  return found == std::end(kClasses) ? nullptr : found;
}

std::string_view TokenizerClassName(std::string_view name) {
  constexpr std::string_view kSuffix = "Fast";
  if (name.size() >= kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix) {
    name.remove_suffix(kSuffix.size());
  }
  return name;
}

std::string_view TokenizerClassOfModel(std::string_view model_type) {
  if (model_type == "opt") return "GPT2Tokenizer";
  if (model_type == "qwen2" || model_type == "qwen3") return "Qwen2Tokenizer";
  return "";
}

}  // namespace sq
