#include "sq/text/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

const Json& Gpt2() {
  static const Json file = ReadJsonFile(test::GoldenText("gpt2/tokenizer.json"));
  return file;
}

std::unique_ptr<Tokenizer> Load(const Json& file) {
  return MakeTokenizer(ParseTokenizerJson(file, "t.json"), {}, "t.json");
}

TEST(TokenizerJson, VariantsEncodeAsHuggingFaceDoes) {
  const std::vector<std::string> texts = test::ShortGoldenTexts();
  for (const Json& variant : ReadJsonFile(test::GoldenText("variants.json"))) {
    Json file = Gpt2();
    file.update(variant["change"]);
    nlohmann::json found = test::Summary(*Load(file), texts);
    found["change"] = variant["change"];
    EXPECT_EQ(found, variant);
  }
}

// Of the bytes of what the texts' ids decode to, those of each text closed by 2^31 - 1.
std::string DecodedHash(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<int32_t> bytes;
  for (const std::string& text : texts) {
    for (const char c : tokenizer.Decode(tokenizer.Encode(text))) {
      bytes.push_back(static_cast<unsigned char>(c));
    }
    bytes.push_back(0x7fffffff);
  }
  return test::Fnv1a(bytes);
}

TEST(TokenizerJson, SentencePieceVariantsDoAsHuggingFaceDoes) {
  const std::vector<std::string> texts = test::ShortGoldenTexts();
  const Json llama2 = ReadJsonFile(test::GoldenText("llama2/tokenizer.json"));
  for (const Json& variant : ReadJsonFile(test::GoldenText("llama2/variants.json"))) {
    Json file = llama2;
    Json change = variant["change"];
    if (change.contains("model")) {
      file["model"].update(change["model"]);
      change.erase("model");
    }
    file.update(change);
    const auto tokenizer = Load(file);
    EXPECT_EQ(test::Summary(*tokenizer, texts), variant["ids"]) << variant["change"];
    EXPECT_EQ(DecodedHash(*tokenizer, texts), variant["decoded"]["fnv1a"]) << variant["change"];
  }
}

TEST(TokenizerJson, PreTokenizersOfPublishedFilesSplitAsHuggingFaceDoes) {
  const std::vector<std::string> texts = test::ShortGoldenTexts();
  Json file = Gpt2();
  const Json golden = ReadJsonFile(test::GoldenText("formats/pre_tokenizers.json"));
  ASSERT_GE(golden.size(), 60u);
  for (const Json& item : golden) {
    file["pre_tokenizer"] = item["pre_tokenizer"];
    EXPECT_EQ(test::Summary(*Load(file), texts), item["ids"]) << item["name"];
  }
}

TEST(TokenizerJson, UnigramVariantsDoAsHuggingFaceDoes) {
  const std::vector<std::string> texts = test::ShortGoldenTexts();
  const Json unigram = ReadJsonFile(test::GoldenText("formats/unigram/tokenizer.json"));
  for (const Json& variant : ReadJsonFile(test::GoldenText("formats/unigram/variants.json"))) {
    Json file = unigram;
    Json change = variant["change"];
    if (change.contains("model")) {
      file["model"].update(change["model"]);
      change.erase("model");
    }
    file.update(change);
    const auto tokenizer = Load(file);
    EXPECT_EQ(test::Summary(*tokenizer, texts), variant["ids"]) << variant["change"];
    EXPECT_EQ(DecodedHash(*tokenizer, texts), variant["decoded"]["fnv1a"]) << variant["change"];
  }
}

TEST(TokenizerJson, FieldsThatHuggingFaceDoesNotReadPass) {
  Json file = Gpt2();
  const auto before = Load(file)->Encode("The model doesn't read");
  const Json odd = Json::parse(R"({"a": [1, {"b": null}]})");
  for (const char* pointer : {"/model/odd", "/pre_tokenizer/odd", "/decoder/odd",
                              "/post_processor/odd", "/added_tokens/0/odd"}) {
    file[Json::json_pointer(pointer)] = odd;
  }
  file["normalizer"] = Json::parse(R"({"type": "NFC", "odd": 1})");
  EXPECT_EQ(Load(file)->Encode("The model doesn't read"), before);
}

// A change to a good file, as a JSON pointer and the value to put there, and what the error names.
struct Damage {
  const char* pointer;
  const char* value;
  const char* message;
};

const std::vector<Damage> kDamages = {
    {"", "[]", "t.json: expected an object, found an array"},
    {"", "{}", "t.json: no \"model\""},
    {"/extra", "1", "t.json: option \"extra\""},
    {"/normalizer", R"({"type": "NFKC"})", "t.json: normalizer: type \"NFKC\""},
    {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})",
     "t.json: normalizer: type \"Lowercase\""},
    {"/normalizer", R"({"type": "Sequence"})", "t.json: normalizer: no \"normalizers\""},
    {"/normalizer", "3", "t.json: normalizer: expected an object"},
    {"/normalizer", R"({"type": "Prepend"})", "normalizer: Prepend: no \"prepend\""},
    {"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})",
     "normalizer: Replace: empty pattern"},
    {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": "x"}, "content": "x"})", ""},
    {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "x"})",
     "normalizer: Replace: a pattern that matches nothing"},
    {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": "x", "String": "x"}})",
     "normalizer: Replace: \"pattern\": expected either"},
    {"/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "?"})",
     "normalizer: Precompiled: expected base64"},
    {"/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})",
     "normalizer: Precompiled: \"precompiled_charsmap\": expected a table, found 3 bytes"},
    {"/normalizer", R"({"type": "Strip", "strip_left": true})",
     "normalizer: Strip: no \"strip_right\""},
    {"", R"({"normalizer": {"type": "Strip", "strip_left": true, "strip_right": false},
             "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"},
             "model": {"type": "BPE", "vocab": {}, "merges": []}})",
     "t.json: pre_tokenizer: \"prepend_scheme\" \"first\" behind a normalizer that may remove"},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})",
     "pre_tokenizer: Metaspace: \"replacement\": expected one character, found \"ab\""},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "odd"})",
     "\"prepend_scheme\": \"odd\""},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "add_prefix_space": false})",
     "\"add_prefix_space\" false with \"prepend_scheme\" \"always\""},
    {"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": 7})",
     "\"pretokenizers\": expected an array"},
    {"/pre_tokenizer/use_regex", "3", "ByteLevel: \"use_regex\": expected true or false"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "\\R"}, "behavior": "Isolated"})",
     "pre_tokenizer: Split: regular expression: escape \"\\R\""},
    {"/pre_tokenizer", R"({"type": "UnicodeScripts"})",
     "t.json: pre_tokenizer: type \"UnicodeScripts\""},
    {"/pre_tokenizer", R"({"type": "Punctuation", "behavior": "Odd"})",
     "pre_tokenizer: Punctuation: \"behavior\": \"Odd\""},
    {"/pre_tokenizer", R"({"type": "CharDelimiterSplit", "delimiter": "ab"})",
     "CharDelimiterSplit: \"delimiter\": expected one character"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})",
     "pre_tokenizer: Split: regular expression: "},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Odd"})",
     "\"behavior\": \"Odd\""},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {}, "behavior": "Isolated"})",
     "either \"Regex\" or"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": "a", "behavior": "Isolated"})",
     "pattern: expected an object"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"})",
     "empty pattern"},
    {"/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})",
     "decoder: Strip: \"start\": expected a count, found -1"},
    {"/decoder", R"({"type": "WordPiece"})", "t.json: decoder: type \"WordPiece\""},
    {"/model", "null", "t.json: model: expected an object"},
    {"/model/type", "\"WordPiece\"", "t.json: model: type \"WordPiece\""},
    {"/model/type", "\"Unigram\"", "t.json: model: \"vocab\": expected an array"},
    {"/model", R"({"type": "Unigram", "vocab": [["a"]]})",
     "model: piece 0: expected a text and its"},
    {"/model", R"({"type": "Unigram", "vocab": [["a", "b"]]})", "model: piece 0: expected a text"},
    {"/model", R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": -1})",
     "\"unk_id\": expected an"},
    {"/model/dropout", "0.1", "model: \"dropout\""},
    {"/model/end_of_word_suffix", "\"</w>\"", "model: \"end_of_word_suffix\""},
    {"/model/continuing_subword_prefix", "\"##\"", "model: \"continuing_subword_prefix\""},
    {"/model/unk_token", "\"nowhere\"", "model: unk_token \"nowhere\""},
    {"/model/vocab", "[]", "model: \"vocab\": expected an object"},
    {"/model/vocab/!", "-1", "model: \"!\": expected an id"},
    {"/model/vocab/!", "2147483648", "model: \"!\": expected an id"},
    {"/model/vocab/!", "1.5", "model: \"!\": expected an id"},
    {"/model/vocab/!", "\"x\"", "model: \"!\": expected an id"},
    {"/model/vocab/!", "3", "t.json: two tokens have id 3"},
    {"/model/merges", "{}", "model: \"merges\": expected an array"},
    {"/model/merges/0", "\"ab\"", "model: merge 0: expected two tokens"},
    {"/model/merges/0", "\"a b c\"", "model: merge 0: expected two tokens"},
    {"/model/merges/0", "[\"a\"]", "model: merge 0: expected two tokens"},
    {"/model/merges/0", "[1, 2]", "model: merge 0: expected two tokens"},
    {"/model/merges/3", "\"qqq z\"",
     "merge 3 (\"qqq\", \"z\"): token \"qqq\" is not in the vocabulary"},
    {"/added_tokens", "{}", "added_tokens: expected an array"},
    {"/added_tokens/0", "7", "added_tokens: expected an object"},
    {"/added_tokens/0/content", "7", "added_tokens: \"content\": expected a string"},
    {"/added_tokens/0/id", "7", "added_tokens: \"<|endoftext|>\" has id 7, expected 0"},
    {"/added_tokens/1/id", "9999", "has id 9999, expected 800"},
    {"/model/vocab/line\nbreak", "-1", "\"line\\x0abreak\": expected an id"},
    {"/added_tokens/1/lstrip", "null", ""},
    {"/post_processor", R"({"type": "BertProcessing", "cls": ["a", 1]})",
     "post_processor: no \"sep\""},
    {"/post_processor", R"({"type": "BertProcessing", "cls": [1, "a"], "sep": ["a", 1]})",
     "post_processor: \"cls\": expected a token and its id"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})",
     "TemplateProcessing: \"single\" without the text"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}],
                            "special_tokens": {}})",
     "TemplateProcessing: no \"x\""},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}],
                            "special_tokens": {}})",
     "\"single\" with more than the one text"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": ["A"], "special_tokens": {}})",
     "\"single\": expected a piece"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}},
                            {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [123456]}}})",
     "post_processor: no token has id 123456"},
};

TEST(TokenizerJson, NamesTheComponentThatIsDamagedOrUnknown) {
  for (const Damage& damage : kDamages) {
    Json file = Gpt2();
    file[Json::json_pointer(damage.pointer)] = Json::parse(damage.value);
    const std::string message = test::MessageOf([&] { Load(file); });
    EXPECT_THAT(message, HasSubstr(damage.message)) << damage.pointer << " = " << damage.value;
    EXPECT_THAT(message, Not(HasSubstr("\n"))) << damage.pointer;
    EXPECT_THAT(message + "t.json: ", StartsWith("t.json: ")) << damage.pointer;
  }
}

TEST(TokenizerJson, SurvivesTruncationAnywhere) {
  const std::string text = Gpt2().dump();
  for (size_t size = 0; size < text.size(); size += 97) {
    const std::string message = test::MessageOf([&] { ParseJson(text.substr(0, size), "t.json"); });
    EXPECT_THAT(message, StartsWith("t.json: not valid JSON at byte ")) << size;
  }
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  Json file = Gpt2();
  const auto before = Load(file)->Encode("The model doesn't read");
  for (Json& merge : file["model"]["merges"]) {
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  EXPECT_EQ(Load(file)->Encode("The model doesn't read"), before);
}

}  // namespace
}  // namespace sq
