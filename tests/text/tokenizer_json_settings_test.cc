// Against transformers: tokenizer_test.cc, Configurations. Here: fix_mistral_regex, which wants a
// large vocabulary, and files of a form that is not expected.
#include "sq/text/tokenizer_json_settings.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sq {
namespace {

using nlohmann::json;

json File(int tokens) {
  json vocabulary = json::object();
  for (int i = 0; i < tokens; ++i) vocabulary[std::to_string(i)] = i;
  return {{"model", {{"type", "BPE"}, {"vocab", vocabulary}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"}, {"pattern", {{"Regex", "x"}}}, {"behavior", "Removed"}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}}}}}}};
}

json Apply(const TokenizerConfig& config, json file) {
  ApplySettings(config, &file);
  return file;
}

// The rule is that of Mistral's corrected files, as transformers' _patch_mistral_regex has it.
TEST(TokenizerJsonSettings, FixMistralRegexReplacesTheRuleOfLargeMistralVocabularies) {
  TokenizerConfig config;
  config.fix_mistral_regex = true;
  config.model_type = "mistral";
  const json large = File(100001), fixed = Apply(config, large);
  const json& split = fixed["pre_tokenizer"]["pretokenizers"][0];
  EXPECT_EQ(
      split["pattern"]["Regex"],
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
      "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
      "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+");
  EXPECT_EQ(split["behavior"], "Isolated");
  EXPECT_EQ(fixed["pre_tokenizer"]["pretokenizers"][1], large["pre_tokenizer"]["pretokenizers"][1]);
  EXPECT_EQ(Apply(config, File(100000)), File(100000));
  config.model_type = "llama";
  EXPECT_EQ(Apply(config, large), large);
}

TEST(TokenizerJsonSettings, LeavesUnexpectedFormsToTheParser) {
  TokenizerConfig config;
  config.fix_mistral_regex = true;
  config.model_type = "mistral";
  config.add_prefix_space = true;
  const json large = File(100001);
  for (const char* name : {"LlamaTokenizer", "GPT2Tokenizer"}) {
    config.tokenizer_class = name;
    for (const char* text : {"null", "[]", "7", "{}", R"({"model": 3, "pre_tokenizer": {}})",
                             R"({"model": {"vocab": 3, "byte_fallback": "x"}})",
                             R"({"model": {}, "pre_tokenizer": [{"type": "ByteLevel"}]})",
                             R"({"model": {}, "pre_tokenizer": {"type": 7}})"}) {
      EXPECT_EQ(Apply(config, json::parse(text)), json::parse(text)) << text;
    }
    for (const char* text :
         {"null", "[]", R"({"type": "Sequence"})", R"({"type": "Sequence", "pretokenizers": {}})",
          R"({"type": "Sequence", "pretokenizers": []})",
          R"({"type": "Sequence", "pretokenizers": [3]})"}) {
      json file = large;
      file["pre_tokenizer"] = json::parse(text);
      EXPECT_EQ(Apply(config, file), file) << text;
    }
  }
}

}  // namespace
}  // namespace sq
