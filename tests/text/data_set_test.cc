#include "sq/text/data_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class DataSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* dir = std::getenv("SQ_DATA_DIR")) outside_ = dir;
    unsetenv("SQ_DATA_DIR");
  }
  void TearDown() override {
    if (!outside_.empty()) setenv("SQ_DATA_DIR", outside_.c_str(), 1);
  }
  void Write(const std::string& name, const std::string& bytes) {
    fs::create_directories(fs::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  std::vector<std::string> Read(const std::string& name, Purpose purpose) {
    return ReadRows(*FindDataSet(name, purpose), folder_).rows;
  }

  const std::string folder_ = test::ScratchFolder();
  std::string outside_;  // SQ_DATA_DIR as it was
};

TEST_F(DataSetTest, KnowsTheNamesOfEachPurpose) {
  EXPECT_EQ(DataSetNames(Purpose::kEvaluation), "wikitext2, c4, c4-new, ptb, ptb-new");
  EXPECT_EQ(DataSetNames(Purpose::kCalibration), "c4, c4-new, wikitext2, ptb, ptb-new");
  EXPECT_EQ(FindDataSet("c5", Purpose::kCalibration), nullptr);
}

TEST_F(DataSetTest, WikiTextRowsAreThoseOfTheLoader) {
  Write("wikitext-2-raw/wiki.test.raw", " \n = Title = \n \n Text one . \r\n\u3000\nlast");
  EXPECT_THAT(Read("wikitext2", Purpose::kEvaluation),
              ElementsAre("", " = Title = \n", "", " Text one . \n", "", "last"));
}

TEST_F(DataSetTest, JoinedTextStaysAsItStands) {
  Write("wikitext-2/test.txt", "\n\n = Title = \n\n\n\n\n");
  EXPECT_THAT(Read("wikitext2", Purpose::kEvaluation), ElementsAre("\n\n = Title = \n\n\n\n\n"));
}

TEST_F(DataSetTest, PennTreebankRowsAreStripped) {
  Write("ptb/ptb.valid.txt", " a b \n c\n");
  EXPECT_THAT(Read("ptb", Purpose::kEvaluation), ElementsAre("a b", "c"));
}

TEST_F(DataSetTest, AFolderOfC4IsTakenUnlessItHoldsShards) {
  Write("c4/a.jsonl", "{\"text\": \"x\"}");
  EXPECT_THAT(Read("c4", Purpose::kEvaluation), ElementsAre("x"));
  Write("c4/c4-train.00000-of-01024.json", "{\"text\": \"y\"}");
  EXPECT_THAT(Read("c4", Purpose::kCalibration), ElementsAre("y"));
  EXPECT_THAT(test::MessageOf([&] { Read("c4", Purpose::kEvaluation); }),
              StartsWith("data set c4: not found in " + folder_));
}

TEST_F(DataSetTest, FirstRowsOnlyWhereTheProtocolSaysSo) {
  std::string lines;
  for (int i = 0; i < 1200; ++i) lines += "{\"text\": \"x\"}\n";
  Write("c4/a.jsonl", lines);
  EXPECT_EQ(Read("c4-new", Purpose::kEvaluation).size(), 1100u);
  EXPECT_EQ(Read("c4", Purpose::kEvaluation).size(), 1200u);
}

// Each name of the hub in the data folder, in a copy of its repository, and in a cache.
TEST_F(DataSetTest, FindsTheNamesOfTheHub) {
  struct Case {
    const char *set, *repository, *cache, *file, *column;
    Purpose purpose;
  };
  const Case cases[] = {
      {"wikitext2", "Salesforce/wikitext", "datasets--Salesforce--wikitext",
       "wikitext-2-raw-v1/test-00000-of-00001.jsonl", "text", Purpose::kEvaluation},
      {"wikitext2", "Salesforce/wikitext", "datasets--Salesforce--wikitext",
       "wikitext-2-raw-v1/train-00000-of-00001.jsonl", "text", Purpose::kCalibration},
      {"c4", "allenai/c4", "datasets--allenai--c4", "en/c4-validation.00000-of-00008.json.gz",
       "text", Purpose::kEvaluation},
      {"c4-new", "allenai/c4", "datasets--allenai--c4", "en/c4-validation.00000-of-00008.json.gz",
       "text", Purpose::kEvaluation},
      {"c4", "allenai/c4", "datasets--allenai--c4", "en/c4-train.00000-of-01024.json.gz", "text",
       Purpose::kCalibration},
      {"ptb", "ptb-text-only/ptb_text_only", "datasets--ptb-text-only--ptb_text_only",
       "penn_treebank/validation/0000.jsonl", "sentence", Purpose::kEvaluation},
      {"ptb-new", "ptb-text-only/ptb_text_only", "datasets--ptb-text-only--ptb_text_only",
       "penn_treebank/test/0000.jsonl", "sentence", Purpose::kEvaluation},
      {"ptb-new", "ptb-text-only/ptb_text_only", "datasets--ptb-text-only--ptb_text_only",
       "penn_treebank/train/0000.jsonl", "sentence", Purpose::kCalibration}};
  for (const Case& c : cases) {
    const std::string repository = c.repository;
    for (const std::string& root :
         {std::string(), repository + "/", repository.substr(repository.find('/') + 1) + "/",
          std::string(c.cache) + "/snapshots/0123abc/"}) {
      SCOPED_TRACE(root + c.file);
      fs::remove_all(folder_);
      Write(root + c.file, std::string("{\"") + c.column + "\": \"x\"}\n");
      EXPECT_THAT(Read(c.set, c.purpose), ElementsAre("x"));
    }
  }
}

TEST_F(DataSetTest, ParquetAloneNamesTheCommand) {
  const std::string parquet = "wikitext-2-raw-v1/test-00000-of-00001.parquet";
  const std::string cached = "datasets--Salesforce--wikitext/snapshots/0123abc/" + parquet;
  Write(cached, "PAR1");
  EXPECT_EQ(test::MessageOf([&] { Read("wikitext2", Purpose::kEvaluation); }),
            "data set wikitext2: " + folder_ + "/" + cached +
                ": Parquet is not read; scripts/fetch_data.py " + folder_ + "/" + cached +
                " converts it to JSON lines");
  EXPECT_THAT(test::MessageOf([&] { Read("wikitext2", Purpose::kCalibration); }),
              StartsWith("data set wikitext2: not found in " + folder_));
  Write("wikitext-2/test.txt", "text");
  EXPECT_THAT(Read("wikitext2", Purpose::kEvaluation), ElementsAre("text"));
}

TEST_F(DataSetTest, AFolderWithoutDocumentsIsNotTaken) {
  Write("c4/en/c4-train.00000-of-01024.json.gz", "{\"text\": \"x\"}\n");
  EXPECT_THAT(test::MessageOf([&] { Read("c4", Purpose::kEvaluation); }),
              StartsWith("data set c4: not found in " + folder_));
}

TEST_F(DataSetTest, AFolderOfC4IsSearchedToItsDepth) {
  Write("c4/a.jsonl", "{\"text\": \"x\"}");
  Write("c4/more/b.jsonl", "{\"text\": \"y\"}");
  Write("c4/README.md", "");
  const Rows rows = ReadRows(*FindDataSet("c4", Purpose::kEvaluation), folder_);
  EXPECT_THAT(rows.rows, ElementsAre("x", "y"));
  EXPECT_THAT(rows.files.read, ElementsAre("a.jsonl", "more/b.jsonl"));
  EXPECT_THAT(rows.files.left_out, ElementsAre("README.md"));
  Write("c4/multilingual/c4-af.tfrecord-00000-of-00064.json.gz", "{\"text\": \"z\"}");
  EXPECT_THAT(test::MessageOf([&] { Read("c4", Purpose::kEvaluation); }),
              StartsWith("data set c4: not found in " + folder_));
}

TEST_F(DataSetTest, SaysWhereItLooked) {
  EXPECT_EQ(
      test::MessageOf([&] { Read("ptb", Purpose::kEvaluation); }),
      "data set ptb: not found in " + folder_ +
          "; looked for penn_treebank/validation/0000.jsonl, ptb/ptb.valid.txt, ptb.valid.txt, "
          "also in ptb_text_only, ptb-text-only/ptb_text_only and "
          "datasets--ptb-text-only--ptb_text_only; scripts/fetch_data.py downloads it");
  const auto read_without_folder = [] { ReadRows(*FindDataSet("ptb", Purpose::kEvaluation), ""); };
  EXPECT_THAT(test::MessageOf(read_without_folder), HasSubstr("--data-dir"));
  setenv("SQ_DATA_DIR", folder_.c_str(), 1);
  EXPECT_THAT(test::MessageOf(read_without_folder), HasSubstr("not found in " + folder_));
  setenv("SQ_DATA_DIR", (folder_ + "/none").c_str(), 1);
  EXPECT_EQ(test::MessageOf(read_without_folder), folder_ + "/none: not a folder");
  unsetenv("SQ_DATA_DIR");
}

}  // namespace
}  // namespace sq
