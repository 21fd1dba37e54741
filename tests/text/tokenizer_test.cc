// Whole tokenizers against what Hugging Face's libraries answered: see tests/golden/text/README.md.
#include "sq/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sq/base/file.h"
#include "sq/text/documents.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, GoldenTokenizer,
                         ::testing::Values("gpt2", "llama3", "smollm", "llama", "llama2", "mistral",
                                           "qwen2", "xgen"),
                         [](const auto& info) { return info.param; });

TEST_P(GoldenTokenizer, EncodesAsHuggingFaceDoes) {
  const std::string folder = GetParam();
  const auto tokenizer = LoadTokenizer(test::GoldenText(folder));
  const std::vector<std::string> texts = test::GoldenTexts();
  const nlohmann::json expected = ReadJsonFile(test::GoldenText(folder + "/ids.json"));
  ASSERT_EQ(texts.size(), expected.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<int32_t> ids = tokenizer->Encode(texts[i]);
    EXPECT_EQ(test::Digest(ids), expected[i]) << "text " << i << ": " << texts[i].substr(0, 100);
    for (const int32_t id : ids) ASSERT_LT(id, tokenizer->VocabularySize());
  }
}

TEST_P(GoldenTokenizer, EncodesFuzzedStringsAsHuggingFaceDoes) {
  const std::vector<std::string> texts = test::FuzzTexts();
  ASSERT_EQ(texts.size(), 2000u);
  EXPECT_EQ(test::Summary(*LoadTokenizer(test::GoldenText(GetParam())), texts),
            ReadJsonFile(test::GoldenText("fuzz_ids.json"))[GetParam()]);
}

class GoldenBpeTokenizer : public GoldenTokenizer {};
INSTANTIATE_TEST_SUITE_P(Models, GoldenBpeTokenizer,
                         ::testing::Values("gpt2", "llama3", "smollm", "llama2", "mistral", "qwen2",
                                           "xgen"),
                         [](const auto& info) { return info.param; });

TEST_P(GoldenBpeTokenizer, DecodesAsHuggingFaceDoes) {
  const auto tokenizer = LoadTokenizer(test::GoldenText(GetParam()));
  const nlohmann::json differing =
      ReadJsonFile(test::GoldenText(GetParam() + std::string("/decoded.json")));
  const std::vector<std::string> texts = test::GoldenTexts();
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > 100) continue;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(texts[i])),
              differing.value(std::to_string(i), texts[i]))
        << i;
  }
}

TEST_P(GoldenTokenizer, InvalidUtf8CountsAsReplacementCharacters) {
  const auto tokenizer = LoadTokenizer(test::GoldenText(GetParam()));
  EXPECT_EQ(tokenizer->Encode("a\xff z\xe2\x82"), tokenizer->Encode("a\ufffd z\ufffd"));
}

TEST_P(GoldenTokenizer, SpecialTokensCanBeLeftOut) {
  const auto tokenizer = LoadTokenizer(test::GoldenText(GetParam()));
  EncodeOptions bare;
  bare.add_special_tokens = false;
  EXPECT_TRUE(tokenizer->Encode("", bare).empty());
  const std::string name = GetParam();
  const bool has_bos = name.rfind("llama", 0) == 0 || name == "mistral";
  std::vector<int32_t> expected = tokenizer->Encode("the model", bare);
  if (has_bos) expected.insert(expected.begin(), tokenizer->BosId().value());
  EXPECT_EQ(tokenizer->Encode("the model"), expected);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("the model"), /*skip_special_tokens=*/true),
            "the model");
}

TEST_P(GoldenTokenizer, DecodeSkipsUnknownIds) {
  const auto tokenizer = LoadTokenizer(test::GoldenText(GetParam()));
  std::vector<int32_t> ids = tokenizer->Encode("the model");
  ids.insert(ids.begin() + 1, -1);
  ids.push_back(static_cast<int32_t>(tokenizer->VocabularySize()));
  EXPECT_EQ(tokenizer->Decode(ids, /*skip_special_tokens=*/true), "the model");
}

TEST(HasTokenizer, LooksForTheFilesOfAVocabulary) {
  for (const char* folder : {"gpt2", "llama", "xgen"}) {
    EXPECT_TRUE(HasTokenizer(test::GoldenText(folder))) << folder;
  }
  EXPECT_FALSE(HasTokenizer(test::GoldenText("c4")));
}

TEST(LoadTokenizer, NamesBosAndEos) {
  const auto llama3 = LoadTokenizer(test::GoldenText("llama3"));
  EXPECT_EQ(llama3->Decode({llama3->BosId().value(), llama3->EosId().value()}),
            "<|begin_of_text|><|end_of_text|>");
  const auto gpt2 = LoadTokenizer(test::GoldenText("gpt2"));
  EXPECT_FALSE(gpt2->BosId() || gpt2->EosId());
  const auto llama = LoadTokenizer(test::GoldenText("llama"));
  EXPECT_EQ(llama->BosId(), 1);
  EXPECT_EQ(llama->EosId(), 2);
}

// Real tokenizers on real text, where SQ_DATA_DIR has both.
class RealTokenizer : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(
    Models, RealTokenizer,
    ::testing::Values("llama-2-7b", "llama-2-7b-model", "llama-3.2-1b", "mistral-7b-v0.1",
                      "mistral-7b-v0.1-model", "mistral-7b-v0.3", "mistral-7b-v0.3-model",
                      "opt-1.3b", "qwen2", "smollm2-135m", "vicuna-7b-v1.3", "xgen-7b-8k-base"),
    [](const auto& info) {
      std::string name = info.param;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
      return name;
    });

TEST_P(RealTokenizer, EncodesAsHuggingFaceDoes) {
  const char* data = std::getenv("SQ_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "SQ_DATA_DIR is not set";
  const std::string model = data + std::string("/models/") + GetParam();
  const auto has = [&](const char* name) { return std::filesystem::exists(model + "/" + name); };
  if (!has("tokenizer.json") && !has("tokenizer.model") && !has("vocab.json")) {
    GTEST_SKIP() << "no tokenizer in " << model;
  }
  const auto tokenizer = LoadTokenizer(model);
  const nlohmann::json expected = ReadJsonFile(test::GoldenText("real.json"))[GetParam()];
  for (const auto& [name, place] :
       {std::pair("wikitext2", "/wikitext-2/test.txt"), std::pair("c4", "/c4")}) {
    const std::string path = data + std::string(place);
    if (!std::filesystem::exists(path)) continue;
    // WikiText-2's bytes as they stand, whatever its line ends.
    const std::vector<std::string> texts = std::filesystem::is_directory(path)
                                               ? ReadDocuments(path).texts
                                               : std::vector<std::string>{ReadFile(path, 1 << 24)};
    EXPECT_EQ(test::Summary(*tokenizer, texts), expected[name]) << name;
  }
  EXPECT_EQ(test::Summary(*tokenizer, test::FuzzTexts()), expected["fuzz"]);
}

class ModelFolder : public ::testing::Test {
 protected:
  // Lays out a case of configurations.json; `base` is a folder and a file of it, and what is to be
  // beside that.
  void LayOut(const nlohmann::ordered_json& one) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    const auto base = one["base"].get<std::string>();
    const std::string name = base.substr(0, base.find('/'));
    const auto has = [&](const char* file) { return base.find(file) != std::string::npos; };
    if (has("tokenizer.model")) CopyGolden("llama/tokenizer.model");
    if (has("vocab.json")) WriteVocabularyAndMerges(name);
    if (has("tokenizer.json")) {
      nlohmann::json file = ReadJsonFile(test::GoldenText(name + "/tokenizer.json"));
      file.update(nlohmann::json::parse(one["change"].dump()));
      Write("tokenizer.json", file.dump());
    }
    for (const auto& [file, content] : one["files"].items()) Write(file, content.dump());
  }
  void WriteVocabularyAndMerges(const std::string& name) {
    const nlohmann::json model = ReadJsonFile(test::GoldenText(name + "/tokenizer.json"))["model"];
    std::string merges = "#version: 0.2\n";
    for (const nlohmann::json& merge : model["merges"]) {
      merges += merge.is_string() ? merge.get<std::string>()
                                  : merge[0].get<std::string>() + " " + merge[1].get<std::string>();
      merges += "\n";
    }
    Write("vocab.json", model["vocab"].dump());
    Write("merges.txt", merges);
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name) << bytes;
  }
  void CopyGolden(const std::string& name) {
    std::filesystem::copy(test::GoldenText(name), folder_,
                          std::filesystem::copy_options::overwrite_existing);
  }
  std::string Message() {
    return test::MessageOf([&] { LoadTokenizer(folder_); });
  }

  const std::string folder_ = test::ScratchFolder();
};

// Ids as transformers 4 gives them; as 5 does where 4 has no such tokenizer, or the case says so.
TEST_F(ModelFolder, ConfigurationsChangeIdsAsInTransformers) {
  // The order of special tokens in an object counts.
  const auto cases =
      nlohmann::ordered_json::parse(ReadFile(test::GoldenText("configurations.json"), 1 << 20));
  const std::vector<std::string> texts = test::ShortGoldenTexts();
  ASSERT_GE(cases.size(), 200u);
  for (const nlohmann::ordered_json& one : cases) {
    const bool follows4 = one["follows"] == 4 && !one["ids4"].is_null();
    const nlohmann::ordered_json& expected = one[follows4 ? "ids4" : "ids5"];
    ASSERT_TRUE(expected.is_object()) << one["name"];
    LayOut(one);
    const nlohmann::json found = test::Summary(*LoadTokenizer(folder_), texts);
    EXPECT_EQ(found, nlohmann::json(expected)) << one["name"];
  }
}

TEST_F(ModelFolder, TokensAroundATextHaveToBeNamed) {
  CopyGolden("llama3/tokenizer.json");
  Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "bos_token": null})");
  const std::string what = folder_ + ": tokenizer_config.json: ";
  EXPECT_EQ(Message(),
            what + "\"bos_token\": expected a token to add around each text, found null");
  Write("tokenizer_config.json",
        R"({"tokenizer_class": "LlamaTokenizer", "add_eos_token": true, "eos_token": null})");
  EXPECT_EQ(Message(),
            what + "\"eos_token\": expected a token to add around each text, found null");
  Write("tokenizer_config.json",
        R"({"tokenizer_class": "CodeGenTokenizer", "add_bos_token": true})");
  EXPECT_EQ(Message(),
            what + "\"add_bos_token\": true: the class \"CodeGenTokenizer\" cannot add one");
}

TEST_F(ModelFolder, TokenizerJsonComesFirst) {
  CopyGolden("llama/tokenizer.model");
  const auto from_model = LoadTokenizer(folder_)->Encode("the model<s>");
  CopyGolden("llama2/tokenizer.json");
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("the model"),
            LoadTokenizer(test::GoldenText("llama"))->Encode("the model"));
  // Where the two differ: normalized special tokens within a text.
  const auto from_json = LoadTokenizer(folder_)->Encode("the model<s>");
  EXPECT_NE(from_json, from_model);
  EXPECT_EQ(from_json, LoadTokenizer(test::GoldenText("llama2"))->Encode("the model<s>"));
}

// Expected ids: transformers 4.46.3, AutoTokenizer.
TEST_F(ModelFolder, TokenizerConfigAddsWhatTokenizerJsonLacks) {
  CopyGolden("llama2/tokenizer.json");
  const std::vector<int32_t> plain = {1, 259, 501, 829, 65, 296, 501, 809, 614, 65, 803};
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("a <x> b <pad>c"), plain);
  Write("tokenizer_config.json", R"({"added_tokens_decoder": {
    "902": {"content": "<x>", "lstrip": true, "normalized": false, "special": true},
    "901": {"content": "<extra>", "normalized": true, "special": false}}})");
  const std::vector<int32_t> found = {1, 259, 902, 782, 296, 501, 809, 614, 65, 803};
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("a <x> b <pad>c"), found);
  const std::vector<int32_t> normalized = {1, 596, 853, 344, 785, 672, 65, 794, 901, 782, 816};
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("x<extra>y <extra> z"), normalized);
  Write("tokenizer_config.json", R"({"pad_token": "<pad>"})");
  const std::vector<int32_t> pad = {1, 259, 501, 829, 65, 296, 782, 901, 279};
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("a <x> b <pad>c"), pad);
  Write("tokenizer_config.json", R"({"added_tokens_decoder": {"950": {"content": "<x>"}}})");
  EXPECT_EQ(Message(),
            folder_ + ": tokenizer_config.json: added token \"<x>\" has id 950, expected 901");
}

TEST_F(ModelFolder, LlamaTokenizerBeginsWithBosWhateverTokenizerJsonSays) {
  nlohmann::json file = ReadJsonFile(test::GoldenText("llama2/tokenizer.json"));
  file["post_processor"] = nullptr;
  Write("tokenizer.json", file.dump());
  EXPECT_EQ(LoadTokenizer(folder_)->Encode(""), (std::vector<int32_t>{}));
  Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_EQ(LoadTokenizer(folder_)->Encode(""), (std::vector<int32_t>{1}));
  Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "add_eos_token": true})");
  EXPECT_EQ(LoadTokenizer(folder_)->Encode(""), (std::vector<int32_t>{1, 2}));
}

TEST_F(ModelFolder, NamesWhatIsMissingOrDamaged) {
  EXPECT_EQ(
      Message(),
      folder_ +
          ": no tokenizer.json, tokenizer.model, or vocab.json and merges.txt in this folder");
  Write("tokenizer.model", "not a model");
  EXPECT_THAT(Message(), StartsWith(folder_ + "/tokenizer.model: not a SentencePiece model"));
  Write("tokenizer.model", "");
  EXPECT_THAT(Message(), StartsWith(folder_ + "/tokenizer.model: not a SentencePiece model"));
  Write("tokenizer.json", "{\"model\":");
  EXPECT_THAT(Message(), StartsWith(folder_ + "/tokenizer.json: not valid JSON at byte 10"));
  CopyGolden("gpt2/tokenizer.json");
  EXPECT_EQ(Message(), "");
  Write("tokenizer_config.json", "[]");
  EXPECT_EQ(Message(), folder_ + "/tokenizer_config.json: expected an object, found an array");
  EXPECT_EQ(test::MessageOf([&] { LoadTokenizer(folder_ + "/none"); }),
            folder_ + "/none: not a folder");
}

}  // namespace
}  // namespace sq
