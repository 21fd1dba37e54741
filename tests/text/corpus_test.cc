// Expected windows: plain Python with Hugging Face's tokenizers, see tests/golden/text/README.md.
#include "sq/text/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sq/text/documents.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Samples = std::vector<std::vector<int32_t>>;

const Tokenizer& Gpt2() {
  static const auto tokenizer = LoadTokenizer(test::GoldenText("gpt2"));
  return *tokenizer;
}

const std::string kDocuments = test::GoldenText("c4/c4-sample.jsonl");

void ExpectWindows(const Samples& samples, const std::string& name, size_t length) {
  std::vector<int32_t> all;
  for (const auto& sample : samples) {
    EXPECT_EQ(sample.size(), length);
    all.insert(all.end(), sample.begin(), sample.end());
  }
  const nlohmann::json expected = ReadJsonFile(test::GoldenText("windows.json"))[name];
  EXPECT_EQ((nlohmann::json{{"count", samples.size()}, {"fnv1a", test::Fnv1a(all)}}), expected);
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

TEST(Corpus, C4WindowsAreThoseOfPythonsRandom) {
  const TokenSamples windows = EvaluationWindows("c4", Gpt2(), Evaluation(64));
  ExpectWindows(windows.samples, "c4 evaluation 64", 64);
  EXPECT_EQ(windows.source, test::GoldenText("c4"));
  ExpectWindows(CalibrationSamples("c4", Gpt2(), Calibration(20, 40, 7)).samples,
                "c4 calibration 40 seed 7", 40);
}

TEST(Corpus, FewerWindowsAreTheFirstOfAll) {
  const Samples all = EvaluationWindows("c4", Gpt2(), Evaluation(64)).samples;
  const Samples few = EvaluationWindows("c4", Gpt2(), Evaluation(64, 3)).samples;
  EXPECT_EQ(few, Samples(all.begin(), all.begin() + 3));
  EXPECT_EQ(EvaluationWindows(kDocuments, Gpt2(), Evaluation(64, 2)).samples.size(), 2u);
}

TEST(Corpus, DocumentsOfAPathAreJoinedForEvaluation) {
  ExpectWindows(EvaluationWindows(kDocuments, Gpt2(), Evaluation(64)).samples,
                "joined evaluation 64", 64);
  ExpectWindows(EvaluationWindows("c4-new", Gpt2(), Evaluation(32)).samples, "c4-new evaluation 32",
                32);
}

TEST(Corpus, WikiTextIsTokenizedAsAWhole) {
  std::string text;
  for (const std::string& document : ReadDocuments(kDocuments))
    text += (text.empty() ? "" : "\n\n") + document;
  const std::string folder = test::ScratchFolder();
  std::filesystem::create_directories(folder + "/wikitext-2");
  std::ofstream(folder + "/wikitext-2/test.txt", std::ios::binary) << text;
  std::ofstream(folder + "/wikitext-2/train.txt", std::ios::binary) << text;
  EvaluationOptions evaluation = Evaluation(64);
  evaluation.data_dir = folder;
  ExpectWindows(EvaluationWindows("wikitext2", Gpt2(), evaluation).samples, "joined evaluation 64",
                64);
  CalibrationOptions calibration = Calibration(20, 40, 7);
  calibration.data_dir = folder;
  ExpectWindows(CalibrationSamples("wikitext2", Gpt2(), calibration).samples,
                "joined calibration 40 seed 7", 40);
}

TEST(Corpus, DocumentsOfAPathArePutInARowForCalibration) {
  ExpectWindows(CalibrationSamples(kDocuments, Gpt2(), Calibration(100, 50, 0)).samples,
                "path calibration 50", 50);
  const Samples few = CalibrationSamples(kDocuments, Gpt2(), Calibration(3, 50, 0)).samples;
  EXPECT_EQ(few.size(), 3u);
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
            test::GoldenText("c4") + ": no document has more than 100000 tokens (60 documents)");
  EXPECT_EQ(test::MessageOf([&] { RandomWindows({}, Gpt2(), 1, 8, 0, "here"); }),
            "here: no document has more than 8 tokens (0 documents)");
}

TEST(Corpus, UnknownNamesAreNamed) {
  EXPECT_EQ(
      test::MessageOf([&] { EvaluationWindows("wikitext", Gpt2(), Evaluation(64)); }),
      "wikitext: neither a file or folder nor a data set (wikitext2, c4, c4-new, ptb, ptb-new)");
  EXPECT_THAT(test::MessageOf([&] { CalibrationSamples("c4-new", Gpt2(), Calibration(1, 64, 0)); }),
              HasSubstr("(c4, wikitext2, ptb)"));
}

TEST(Corpus, TokenListsAreJsonFiles) {
  EXPECT_TRUE(IsTokenListPath(test::GoldenText("windows.json")));
  EXPECT_FALSE(IsTokenListPath(kDocuments));
  EXPECT_FALSE(IsTokenListPath("none.json"));
}

}  // namespace
}  // namespace sq
