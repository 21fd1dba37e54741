#include "sq/text/tekken.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json File() { return ReadJsonFile(test::GoldenText("formats/tekken/tekken.json")); }

std::unique_ptr<Tokenizer> Load(const Json& file) {
  TokenizerConfig config;
  TokenizerParts parts = ParseTekken(file, "t", &config);
  return MakeTokenizer(std::move(parts), config, "t");
}

TEST(Tekken, EncodesAsMistralCommonDoes) {
  const Json golden = ReadJsonFile(test::GoldenText("formats/tekken/ids.json"));
  const auto tokenizer = LoadTokenizer(test::GoldenText("formats/tekken"));
  std::vector<std::string> texts = test::ShortGoldenTexts();
  for (const std::string& text : test::FuzzTexts()) texts.push_back(text);
  const std::vector<std::string> special = golden["special"];
  const auto has_special = [&](const std::string& text) {
    return std::any_of(special.begin(), special.end(), [&](const std::string& name) {
      return text.find(name) != std::string::npos;
    });
  };
  texts.erase(std::remove_if(texts.begin(), texts.end(), has_special), texts.end());
  ASSERT_GT(texts.size(), 1000u);
  EXPECT_EQ(test::Summary(*tokenizer, texts), golden["ids"]);
}

TEST(Tekken, SpecialTokensHaveTheFirstIdsAndAreFound) {
  const auto tokenizer = LoadTokenizer(test::GoldenText("formats/tekken"));
  const std::vector<std::string> special =
      ReadJsonFile(test::GoldenText("formats/tekken/ids.json"))["special"];
  ASSERT_EQ(special.size(), 30u);
  for (size_t id = 0; id < special.size(); ++id) {
    EXPECT_EQ(tokenizer->Encode(special[id]), (std::vector<int32_t>{1, static_cast<int32_t>(id)}));
  }
  EXPECT_EQ(tokenizer->BosId(), 1);
  EXPECT_EQ(tokenizer->EosId(), 2);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("[INST]the model \u6f22"), true),
            "the model \u6f22");
}

TEST(Tekken, ListedSpecialTokensTakeThePlaceOfTheOldOnes) {
  Json file = File();
  file["special_tokens"] = Json::parse(R"([{"rank": 1, "token_str": "<s>", "is_control": true},
                                           {"rank": 0, "token_str": "<x>", "is_control": true}])");
  EXPECT_EQ(Load(file)->Encode("<x><SPECIAL_2>"), (std::vector<int32_t>{1, 0, 2}));
}

TEST(Tekken, NamesWhatIsDamagedOrUnknown) {
  const std::pair<const char*, std::pair<const char*, const char*>> damages[] = {
      {"/config", {"null", "t: config: expected an object with \"pattern\""}},
      {"/config/pattern", {"\"a$\"", "t: config: pattern \"a$\" is not supported"}},
      {"/config/default_vocab_size", {"10", "t: config: expected default_num_special_tokens (30)"}},
      {"/config/default_vocab_size", {"100000", "t: \"vocab\": expected 99970 tokens, found "}},
      {"/config/default_vocab_size", {"40", "t: no token for byte 10"}},
      {"/config/default_num_special_tokens", {"3", "t: 20 special tokens, expected up to 3"}},
      {"/config/default_num_special_tokens", {"-1", "t: config: expected default_num_special"}},
      {"/config/default_num_special_tokens", {"99999999", "t: config: expected default_num_spec"}},
      {"/special_tokens", {"{}", "t: \"special_tokens\": expected an array"}},
      {"/special_tokens",
       {R"([{"rank": 1, "token_str": "a"}])", "\"a\" has rank 1, expected each"}},
      {"/special_tokens",
       {R"([{"rank": 0, "token_str": "a"}, {"rank": 1, "token_str": "a"}])",
        "\"a\" is a duplicate"}},
      {"/vocab", {"{}", "t: \"vocab\": expected an array"}},
      {"/vocab/5/rank", {"6", "t: vocab: token 5 has rank 6"}},
      {"/vocab/5/token_bytes", {"\"?\"", "t: vocab: expected base64, found \"?\""}},
      {"/vocab/5/token_bytes", {"\"\"", "t: vocab: token 5 is empty or a duplicate"}},
      {"/vocab/5/token_bytes", {"\"AA==\"", "t: vocab: token 5 is empty or a duplicate"}},
  };
  for (const auto& [pointer, change] : damages) {
    Json file = File();
    file[Json::json_pointer(pointer)] = Json::parse(change.first);
    EXPECT_THAT(test::MessageOf([&] { Load(file); }), HasSubstr(change.second)) << pointer;
  }
}

}  // namespace
}  // namespace sq
