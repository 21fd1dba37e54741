// Against tests/golden/mmlu, which scripts/reference.py and Hugging Face's tokenizers made.
#include "sq/eval/mmlu.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "sq/base/file.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kFolder = SQ_GOLDEN_DIR "/mmlu";

json Golden() { return ReadJsonFile(kFolder + "/golden.json"); }

// A tree with one subject, "s", of these files.
std::string Tree(const std::string& dev, const std::string& test) {
  const std::string folder = test::ScratchFolder();
  std::filesystem::create_directories(folder + "/dev");
  std::filesystem::create_directories(folder + "/test");
  std::ofstream(folder + "/dev/s_dev.csv") << dev;
  std::ofstream(folder + "/test/s_test.csv") << test;
  return folder;
}

std::string ReadFailure(const std::string& folder, const std::vector<std::string>& subjects = {},
                        int64_t shots = 1) {
  return test::MessageOf([&] { ReadMmlu(folder, subjects, shots); });
}

TEST(MmluTest, PromptsAreTheReferences) {
  const json golden = Golden();
  size_t seen = 0;
  for (int64_t shots = 0; shots <= 3; ++shots) {
    seen = 0;
    for (const MmluSubject& subject : ReadMmlu(kFolder, {}, shots)) {
      EXPECT_EQ(static_cast<int64_t>(subject.examples.size()), shots);
      for (const MmluQuestion& question : subject.test) {
        const json& expected = golden["prompts"][seen++];
        EXPECT_EQ(subject.name, expected["subject"]);
        EXPECT_EQ(MmluPrompt(subject, shots, question), expected["by_shots"][shots]);
      }
    }
  }
  EXPECT_EQ(seen, golden["prompts"].size());
}

TEST(MmluTest, LongPromptsLoseExamples) {
  const json golden = Golden();
  const auto tokenizer = LoadTokenizer(test::GoldenText("gpt2"));
  size_t seen = 0, cut = 0;
  for (const MmluSubject& subject : ReadMmlu(kFolder, {}, 3)) {
    const MmluPrompts prompts = TokenizeMmlu(subject, *tokenizer, golden["context"]);
    for (size_t q = 0; q < prompts.ids.size(); ++q, ++seen) {
      EXPECT_EQ(prompts.shots[q], golden["ids"][seen]["shots"]);
      EXPECT_EQ(json(prompts.ids[q]), golden["ids"][seen]["ids"]);
      cut += prompts.shots[q] < 3;
    }
  }
  EXPECT_EQ(seen, golden["ids"].size());
  EXPECT_GT(cut, 0u);
  EXPECT_LT(cut, seen);
  const MmluSubject subject = ReadMmlu(kFolder, {"made_up"}, 3)[0];
  EXPECT_THAT(test::MessageOf([&] { TokenizeMmlu(subject, *tokenizer, 20); }),
              HasSubstr("MMLU subject made_up: question 1 has "));
}

TEST(MmluTest, AnswerTokensFollowTheColon) {
  // The golden tokenizer has no tokens of " A" and so on; here they take the place of its last
  // four.
  EXPECT_THAT(test::MessageOf([] { MmluAnswerTokens(*LoadTokenizer(test::GoldenText("gpt2"))); }),
              HasSubstr("no single token of \" A\""));
  json file = ReadJsonFile(test::GoldenText("gpt2/tokenizer.json"));
  json &vocab = file["model"]["vocab"], &merges = file["model"]["merges"];
  size_t place = merges.size() - 4;
  for (const char* letter : {"A", "B", "C", "D"}) {
    std::string old = merges[place].get<std::string>();
    old.erase(old.find(' '), 1);
    vocab[std::string("\u0120") + letter] = vocab[old];
    vocab.erase(old);
    merges[place++] = std::string("\u0120 ") + letter;
  }
  const std::string folder = test::ScratchFolder();
  std::ofstream(folder + "/tokenizer.json") << file;
  EXPECT_EQ(json(MmluAnswerTokens(*LoadTokenizer(folder))), Golden()["answer_tokens"]);
}

TEST(MmluTest, AnswerTokensOfRealTokenizers) {
  const char* data = std::getenv("SQ_DATA_DIR");
  const std::string models = std::string(data != nullptr ? data : "") + "/models/";
  if (!FileExists(models + "llama-2-7b") || !FileExists(models + "opt-1.3b")) {
    GTEST_SKIP() << "SQ_DATA_DIR has no models/llama-2-7b and models/opt-1.3b";
  }
  // "▁A" to "▁D" of LLaMA's vocabulary.
  EXPECT_THAT(MmluAnswerTokens(*LoadTokenizer(models + "llama-2-7b")),
              ElementsAre(319, 350, 315, 360));
  const json vocab = ReadJsonFile(models + "opt-1.3b/vocab.json");
  EXPECT_THAT(MmluAnswerTokens(*LoadTokenizer(models + "opt-1.3b")),
              ElementsAre(vocab["\u0120A"], vocab["\u0120B"], vocab["\u0120C"], vocab["\u0120D"]));
}

// The paper's table: 57 subjects in four categories.
TEST(MmluTest, CategoriesAreTheOriginals) {
  EXPECT_EQ(MmluCategory("college_physics"), "STEM");
  EXPECT_EQ(MmluCategory("world_religions"), "humanities");
  EXPECT_EQ(MmluCategory("econometrics"), "social sciences");
  EXPECT_EQ(MmluCategory("professional_accounting"), "other");
  EXPECT_EQ(MmluCategory("made_up"), "");
}

TEST(MmluTest, ChoosesSubjects) {
  const auto names = [](const std::vector<MmluSubject>& subjects) {
    std::vector<std::string> found;
    for (const MmluSubject& subject : subjects) found.push_back(subject.name);
    return found;
  };
  EXPECT_THAT(names(ReadMmlu(kFolder, {}, 0)), ElementsAre("made_up", "us_foreign_policy"));
  EXPECT_THAT(names(ReadMmlu(kFolder, {"us_foreign_policy"}, 0)), ElementsAre("us_foreign_policy"));
  EXPECT_THAT(ReadFailure(kFolder, {"anatomy"}), HasSubstr("no file anatomy_test.csv"));
}

TEST(MmluTest, DamagedTreesAreNamed) {
  const std::string good = "q,1,2,3,4,A\n";
  EXPECT_EQ(ReadFailure(Tree(good, good)), "");
  EXPECT_THAT(ReadFailure(test::ScratchFolder()), HasSubstr("expected a folder with test/"));
  EXPECT_THAT(ReadFailure(Tree(good, "q,1,2,3,A\n")),
              HasSubstr("s_test.csv: row 1 (line 1): expected 6 columns"));
  EXPECT_THAT(ReadFailure(Tree(good, good + "q,1,2,3,4,E\n")),
              HasSubstr("s_test.csv: row 2 (line 2): expected A, B, C or D as the answer, found "
                        "\"E\""));
  EXPECT_THAT(ReadFailure(Tree(good, "q,1,2,3,4,\n")), HasSubstr("found \"\""));
  EXPECT_THAT(ReadFailure(Tree(good, "q,1,2,3,4,AB\n")), HasSubstr("found \"AB\""));
  EXPECT_THAT(ReadFailure(Tree(good, "")), HasSubstr("s_test.csv: no questions"));
  EXPECT_THAT(ReadFailure(Tree(good, good), {}, 2),
              HasSubstr("s_dev.csv: expected at least 2 rows for as many shots, found 1"));
  const std::string no_dev = Tree(good, good);
  std::filesystem::remove(no_dev + "/dev/s_dev.csv");
  EXPECT_THAT(ReadFailure(no_dev), HasSubstr("dev/s_dev.csv"));
  EXPECT_EQ(ReadFailure(no_dev, {}, 0), "");
}

}  // namespace
}  // namespace sq
