#include "sq/text/tiktoken.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sq/base/file.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

class Tiktoken : public ::testing::Test {
 protected:
  Tiktoken() { std::filesystem::create_directories(folder_); }

  // The tokens of xgen/r50k_base.tiktoken and then, up to `tokens` in all, some that no text has.
  void Write(const std::string& name, int tokens = 0) {
    std::string bytes = ReadFile(test::GoldenText("xgen/r50k_base.tiktoken"), 1 << 20);
    const auto lines = static_cast<int>(std::count(bytes.begin(), bytes.end(), '\n'));
    for (int rank = lines; rank < tokens; ++rank) {
      bytes += "//";  // no UTF-8 begins like this
      for (const int shift : {12, 6, 0}) bytes.push_back(kDigits[rank >> shift & 63]);
      bytes += "AA= " + std::to_string(rank) + "\n";
    }
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }

  // What tests/golden/text/formats/tiktoken.json has for the encoding.
  void ExpectGolden(const std::string& encoding) {
    const auto tokenizer = LoadTokenizer(folder_);
    const nlohmann::json golden = ReadJsonFile(test::GoldenText("formats/tiktoken.json"))[encoding];
    std::vector<std::string> texts = test::ShortGoldenTexts();
    for (const std::string& text : test::FuzzTexts()) texts.push_back(text);
    for (const std::string special : golden["special"]) {
      texts.push_back(special);
      const auto ids = tokenizer->Encode(special, {/*add_special_tokens=*/false});
      EXPECT_EQ(ids.size(), 1u) << special;
    }
    EXPECT_EQ(test::Summary(*tokenizer, texts), golden["ids"]) << encoding;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("the model \u6f22"), true), "the model \u6f22");
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(Tiktoken, FilesOfOneEncodingAreToldByName) {
  for (const std::string encoding : {"r50k_base", "cl100k_base", "o200k_base", "qwen"}) {
    Write(encoding + ".tiktoken");
    EXPECT_EQ(FindTiktokenFile(folder_), folder_ + "/" + encoding + ".tiktoken");
    EXPECT_TRUE(HasTokenizer(folder_));
    ExpectGolden(encoding);
    std::filesystem::remove(folder_ + "/" + encoding + ".tiktoken");
  }
}

TEST_F(Tiktoken, OthersByHowManyTokensTheyHave) {
  Write("tokenizer.model", 128000);
  ExpectGolden("llama3");
  const auto tokenizer = LoadTokenizer(folder_);
  EXPECT_EQ(tokenizer->BosId(), 128000);
  EXPECT_EQ(tokenizer->EosId(), 128001);
  EXPECT_EQ(tokenizer->VocabularySize(), 128256);
  Write("tokenizer.model", 200000);
  ExpectGolden("llama4");
  const auto llama4 = LoadTokenizer(folder_);
  EXPECT_EQ(llama4->VocabularySize(), 202048);
  // As llama-models 0.3.0 has them.
  const std::vector<int32_t> ids = {200000, 200001, 200015, 200018, 200092, 201133, 201143, 202047};
  EXPECT_EQ(llama4->Decode(ids),
            "<|begin_of_text|><|end_of_text|><|text_post_train_reserved_special_token_5|>"
            "<|finetune_right_pad|><|patch|><|vision_reserved_special_token_1047|>"
            "<|reasoning_thinking_end|><|reserved_special_token_903|>");
}

TEST_F(Tiktoken, TheFoldersOwnSpecialTokensComeFirst) {
  Write("qwen.tiktoken");
  const auto plain = LoadTokenizer(folder_);
  const auto size = static_cast<int32_t>(plain->VocabularySize()) - 208;
  std::ofstream(folder_ + "/tokenizer_config.json")
      << R"({"eos_token": "<end>", "added_tokens_decoder": {")" << size + 3
      << R"(": {"content": "<end>", "special": true, "normalized": false}}})";
  const auto tokenizer = LoadTokenizer(folder_);
  EXPECT_EQ(tokenizer->EosId(), size + 3);
  EXPECT_EQ(tokenizer->Encode("<end>"), std::vector<int32_t>{size + 3});
  EXPECT_GT(tokenizer->Encode("<|im_end|>").size(), 1u);
}

TEST_F(Tiktoken, RefusesWhatIsNotKnown) {
  const auto message = [&] { return test::MessageOf([&] { LoadTokenizer(folder_); }); };
  Write("tokenizer.model", 1000);
  EXPECT_THAT(message(), HasSubstr("/tokenizer.model: a tiktoken file of 1000 tokens, of which the "
                                   "rule that cuts words is not known; known are r50k_base"));
  std::ofstream(folder_ + "/qwen.tiktoken") << "IQ== 0\nIg== 2\n";
  EXPECT_THAT(message(),
              HasSubstr("/qwen.tiktoken: not the vocabulary of Qwen: token \"\"\" has id 2, "
                        "expected each of 0 to 1 once"));
}

// Real files of tiktoken's and mistral_common's, where SQ_DATA_DIR has them.
class RealRanks : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, RealRanks,
                         ::testing::Values("llama-3-tiktoken", "llama-4-tiktoken", "qwen-7b",
                                           "o200k_base", "cl100k_base", "mistral-nemo-tekken",
                                           "pixtral-tekken", "deepseek-v4"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(RealRanks, EncodeAsTheirOwnLibraryDoes) {
  const char* data = std::getenv("SQ_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "SQ_DATA_DIR is not set";
  const std::string model = data + std::string("/models/") + GetParam();
  if (!HasTokenizer(model)) GTEST_SKIP() << "no tokenizer in " << model;
  const auto tokenizer = LoadTokenizer(model);
  const nlohmann::json golden = ReadJsonFile(test::GoldenText("formats/real.json"))[GetParam()];
  std::vector<std::string> texts = test::FuzzTexts();
  const auto looks_special = [](const std::string& text) {
    return text.find('<') != std::string::npos;
  };
  texts.erase(std::remove_if(texts.begin(), texts.end(), looks_special), texts.end());
  EXPECT_EQ(test::Summary(*tokenizer, texts), golden["fuzz"]);
  const std::string path = data + std::string("/wikitext-2/test.txt");
  if (!std::filesystem::exists(path)) return;
  EXPECT_EQ(test::Summary(*tokenizer, {ReadFile(path, 1 << 24)}), golden["wikitext2"]);
}

}  // namespace
}  // namespace sq
