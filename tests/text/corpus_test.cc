// Expected windows: plain Python with transformers' tokenizers, see tests/golden/text/README.md.
#include "sq/text/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sq/text/documents.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Samples = std::vector<std::vector<int32_t>>;

const Tokenizer& Gpt2() {
  static const auto tokenizer = LoadTokenizer(test::GoldenText("gpt2"));
  return *tokenizer;
}

const std::string kDocuments = test::GoldenText("c4/c4-sample.jsonl");

// As make_golden_windows.py's digest().
nlohmann::json Digest(const Samples& windows) {
  std::vector<int32_t> all;
  for (const auto& window : windows) all.insert(all.end(), window.begin(), window.end());
  return {{"count", windows.size()}, {"fnv1a", test::Fnv1a(all)}};
}

// Checks all of `golden`, windows by data set; `path` is what stands for the data set "path".
void ExpectGolden(const nlohmann::json& golden, const Tokenizer& tokenizer,
                  const std::string& data_dir, const std::string& path = "") {
  const auto check = [](const TokenSamples& windows, const nlohmann::json& expected) {
    for (const auto& window : windows.samples) EXPECT_EQ(window.size(), expected["length"]);
    const nlohmann::json digest = Digest(windows.samples);
    for (const char* key : {"count", "fnv1a"}) EXPECT_EQ(digest[key], expected[key]) << key;
  };
  for (const auto& [name, cases] : golden.items()) {
    if (name == "calibration") continue;
    for (const nlohmann::json& expected : cases) {
      SCOPED_TRACE(name + " " + expected.dump());
      EvaluationOptions options;
      options.data_dir = data_dir;
      options.sequence_length = expected["length"];
      check(EvaluationWindows(name, tokenizer, options), expected);
    }
  }
  for (const auto& [name, cases] : golden["calibration"].items()) {
    for (const nlohmann::json& expected : cases) {
      SCOPED_TRACE("calibration " + name + " " + expected.dump());
      CalibrationOptions options;
      options.data_dir = data_dir;
      options.sequence_length = expected["length"];
      options.samples = expected["samples"];
      options.seed = expected["seed"];
      check(CalibrationSamples(name == "path" ? path : name, tokenizer, options), expected);
    }
  }
}

// A data folder in which the documents are the rows of every data set.
std::string DataFolder() {
  std::string folder = test::ScratchFolder();
  std::ostringstream text, sentence;
  for (const std::string& document : ReadDocuments(kDocuments).texts) {
    text << nlohmann::json{{"text", document}} << "\n";
    sentence << nlohmann::json{{"sentence", document}} << "\n";
  }
  for (const char* name :
       {"en/c4-train.00000-of-01024.json.gz", "en/c4-validation.00000-of-00008.json.gz",
        "wikitext-2-raw-v1/test-00000-of-00001.jsonl",
        "wikitext-2-raw-v1/train-00000-of-00001.jsonl", "penn_treebank/train/0000.jsonl",
        "penn_treebank/validation/0000.jsonl", "penn_treebank/test/0000.jsonl"}) {
    const std::filesystem::path path = folder + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary)
        << (path.string().find("penn") == std::string::npos ? text.str() : sentence.str());
  }
  return folder;
}

EvaluationOptions Evaluation(int64_t length, int64_t max_windows = 0) {
  EvaluationOptions options;
  options.data_dir = test::GoldenText("");
  options.sequence_length = length;
  options.max_windows = max_windows;
  return options;
}

CalibrationOptions Calibration(int64_t samples, int64_t length, uint64_t seed) {
  CalibrationOptions options;
  options.data_dir = test::GoldenText("");
  options.samples = samples;
  options.sequence_length = length;
  options.seed = seed;
  return options;
}

std::string ScratchFile(const std::string& name, const std::string& text) {
  const std::string folder = test::ScratchFolder();
  std::ofstream(folder + "/" + name, std::ios::binary) << text;
  return folder + "/" + name;
}

TEST(Corpus, WindowsDoNotOverlapAndDropTheTail) {
  EXPECT_THAT(Windows({1, 2, 3, 4, 5}, 2), ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
  EXPECT_THAT(Windows({1, 2}, 2), ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(Windows({1}, 2), ElementsAre());
  EXPECT_THAT(test::MessageOf([] { Windows({1, 2}, 1); }), HasSubstr("at least 2 tokens, found 1"));
}

TEST(Corpus, WindowsAreThoseOfPython) {
  const nlohmann::json golden = ReadJsonFile(test::GoldenText("windows.json"));
  const std::string folder = DataFolder();
  for (const char* name : {"gpt2", "llama"}) {
    SCOPED_TRACE(name);
    ExpectGolden(golden[name], *LoadTokenizer(test::GoldenText(name)), folder, kDocuments);
  }
}

TEST(Corpus, WindowsOfPublicDataAreThoseOfPython) {
  const char* dir = std::getenv("SQ_DATA_DIR");
  const std::string model = std::string(dir != nullptr ? dir : "") + "/models/llama-2-7b";
  if (dir == nullptr || !std::filesystem::exists(model + "/tokenizer.model")) {
    GTEST_SKIP() << "needs SQ_DATA_DIR with models/llama-2-7b, c4 and wikitext-2";
  }
  ExpectGolden(ReadJsonFile(test::GoldenText("real_windows.json")), *LoadTokenizer(model), dir);
}

TEST(Corpus, FewerWindowsAreTheFirstOfAll) {
  const Samples all = EvaluationWindows("c4", Gpt2(), Evaluation(64)).samples;
  const Samples few = EvaluationWindows("c4", Gpt2(), Evaluation(64, 3)).samples;
  EXPECT_EQ(few, Samples(all.begin(), all.begin() + 3));
  EXPECT_EQ(EvaluationWindows(kDocuments, Gpt2(), Evaluation(64, 2)).samples.size(), 2u);
}

TEST(Corpus, DocumentsOfAPathAreJoinedForEvaluation) {
  const nlohmann::json golden = ReadJsonFile(test::GoldenText("windows.json"));
  const Samples windows = EvaluationWindows(kDocuments, Gpt2(), Evaluation(64)).samples;
  EXPECT_EQ(Digest(windows)["fnv1a"], golden["gpt2"]["wikitext2"][0]["fnv1a"]);
}

TEST(Corpus, JoinedTextStaysAsItStands) {
  std::string text;
  for (const std::string& document : ReadDocuments(kDocuments).texts) {
    text += (text.empty() ? "" : "\n\n") + document;
  }
  const std::string folder = test::ScratchFolder();
  std::filesystem::create_directories(folder + "/wikitext-2");
  std::ofstream(folder + "/wikitext-2/test.txt", std::ios::binary) << text;
  EvaluationOptions options = Evaluation(64);
  options.data_dir = folder;
  const nlohmann::json golden = ReadJsonFile(test::GoldenText("windows.json"));
  EXPECT_EQ(Digest(EvaluationWindows("wikitext2", Gpt2(), options).samples)["fnv1a"],
            golden["gpt2"]["wikitext2"][0]["fnv1a"]);
}

TEST(Corpus, FewerSamplesOfAPathAreTheFirst) {
  const Samples all = CalibrationSamples(kDocuments, Gpt2(), Calibration(100, 50, 0)).samples;
  const Samples few = CalibrationSamples(kDocuments, Gpt2(), Calibration(3, 50, 0)).samples;
  EXPECT_EQ(few, Samples(all.begin(), all.begin() + 3));
}

// Documents of 3 and 4 tokens, and windows of 3.
TEST(Corpus, ADocumentOfJustAWindowIsDrawnAgainOrTakenWhole) {
  const std::vector<std::string> documents = {"a b c", "a b c a"};
  const std::vector<int32_t> just = Gpt2().Encode(documents[0]), more = Gpt2().Encode(documents[1]);
  ASSERT_EQ(just.size(), 3u);
  ASSERT_EQ(more.size(), 4u);
  const Samples evaluation =
      RandomWindows(documents, Gpt2(), 20, 3, 0, JustLongEnough::kDrawAgain, "here");
  EXPECT_THAT(evaluation, Each(ElementsAre(more[0], more[1], more[2])));
  EXPECT_EQ(RandomWindows({documents[0]}, Gpt2(), 2, 3, 0, JustLongEnough::kWhole, "here"),
            Samples({just, just}));
  EXPECT_EQ(test::MessageOf([&] {
              RandomWindows({documents[0]}, Gpt2(), 2, 3, 0, JustLongEnough::kDrawAgain, "here");
            }),
            "here: no document has 4 tokens (1 documents)");
}

TEST(Corpus, EachDocumentHasItsOwnBos) {
  const auto llama = LoadTokenizer(test::GoldenText("llama"));
  const std::string path = ScratchFile("two.jsonl", "{\"text\": \"a\"}\n{\"text\": \"a\"}\n");
  const std::vector<int32_t> one = llama->Encode("a");
  const Samples samples =
      CalibrationSamples(path, *llama, Calibration(9, 2 * one.size(), 0)).samples;
  std::vector<int32_t> two = one;
  two.insert(two.end(), one.begin(), one.end());
  EXPECT_THAT(samples, ElementsAre(two));
}

TEST(Corpus, TooLittleTextIsAnError) {
  const std::string path = ScratchFile("short.txt", "a b");
  EXPECT_EQ(test::MessageOf([&] { EvaluationWindows(path, Gpt2(), Evaluation(64)); }),
            path + ": 2 tokens, expected at least 64 for one sequence");
  EXPECT_EQ(test::MessageOf([&] { CalibrationSamples(path, Gpt2(), Calibration(5, 64, 0)); }),
            path + ": 2 tokens, expected at least 64 for one sequence");
  EXPECT_EQ(test::MessageOf([&] { EvaluationWindows("c4", Gpt2(), Evaluation(100000)); }),
            test::GoldenText("c4") + ": no document has 100001 tokens (60 documents)");
  EXPECT_EQ(
      test::MessageOf([&] { RandomWindows({}, Gpt2(), 1, 8, 0, JustLongEnough::kWhole, "here"); }),
      "here: no document has 8 tokens (0 documents)");
}

TEST(Corpus, UnknownNamesAreNamed) {
  EXPECT_EQ(
      test::MessageOf([&] { EvaluationWindows("wikitext", Gpt2(), Evaluation(64)); }),
      "wikitext: neither a file or folder nor a data set (wikitext2, c4, c4-new, ptb, ptb-new)");
  EXPECT_THAT(test::MessageOf([&] { CalibrationSamples("c5", Gpt2(), Calibration(1, 64, 0)); }),
              HasSubstr("(c4, c4-new, wikitext2, ptb, ptb-new)"));
}

TEST(Corpus, WhatWasReadComesWithTheSamples) {
  const std::string folder = test::ScratchFolder();
  std::ofstream(folder + "/a.json") << "[{\"body\": \"one two three four five six seven\"}]";
  std::ofstream(folder + "/notes.md") << "x";
  EvaluationOptions evaluation = Evaluation(4);
  evaluation.text_field = "body";
  CalibrationOptions calibration = Calibration(1, 4, 0);
  calibration.text_field = "body";
  for (const TokenSamples& found : {EvaluationWindows(folder, Gpt2(), evaluation),
                                    CalibrationSamples(folder, Gpt2(), calibration)}) {
    EXPECT_EQ(found.samples.front().size(), 4u);
    EXPECT_THAT(found.files.read, ElementsAre("a.json"));
    EXPECT_THAT(found.files.left_out, ElementsAre("notes.md"));
  }
}

}  // namespace
}  // namespace sq
