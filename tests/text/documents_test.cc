#include "sq/text/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/packed_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::Gzip;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class DocumentsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = folder_ + "/" + name;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return path;
  }
  static std::vector<std::string> Texts(const std::string& path) {
    return ReadDocuments(path).texts;
  }
  static std::string Failure(const std::string& path) {
    return test::MessageOf([&] { ReadDocuments(path); });
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(DocumentsTest, ATextFileIsOneDocumentWithUniversalNewlines) {
  EXPECT_THAT(Texts(Write("a.txt", " a\r\n\nb\rc\r\r\nd\r")), ElementsAre(" a\n\nb\nc\n\nd\n"));
  EXPECT_THAT(Texts(Write("b.raw", "")), ElementsAre(""));
  EXPECT_THAT(Texts(Write("c.txt.gz", Gzip("a\r\nb"))), ElementsAre("a\nb"));
  EXPECT_THAT(Texts(Write("d.TXT", "\ufeff[\"a\"]")), ElementsAre("[\"a\"]"));
}

TEST_F(DocumentsTest, AJsonFileHoldsSeveral) {
  EXPECT_THAT(Texts(Write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n")),
              ElementsAre("a", "b"));
  EXPECT_THAT(Texts(Write("a.json", "[\"a\", \"b\"]")), ElementsAre("a", "b"));
  EXPECT_THAT(Texts(Write("a.json.zst", test::Zstd("[\"a\", \"b\"]"))), ElementsAre("a", "b"));
  EXPECT_THAT(ReadDocuments(Write("b.jsonl", "{\"sentence\": \"a\"}"), "sentence").texts,
              ElementsAre("a"));
  EXPECT_THAT(ReadDocuments(Write("c.txt", "x")).files.read, ElementsAre("c.txt"));
}

TEST_F(DocumentsTest, FormsAreKnownByName) {
  EXPECT_EQ(FormOf("a.b.txt"), DocumentForm::kText);
  EXPECT_EQ(FormOf("x/a.raw.zst"), DocumentForm::kText);
  EXPECT_EQ(FormOf("a.JsonL.GZ"), DocumentForm::kJsonLines);
  EXPECT_EQ(FormOf("a.json"), DocumentForm::kJson);
  for (const char* name : {"a.csv", "a.gz", "a.txt.bz2", "txt", ".gz", "", "a.json5", "x.txt/a"}) {
    EXPECT_FALSE(FormOf(name).has_value()) << name;
  }
}

TEST_F(DocumentsTest, ParquetIsNotRead) {
  const std::string path = Write("a.parquet", "PAR1");
  const std::string message =
      path + ": Parquet is not read; scripts/fetch_data.py " + path + " converts it to JSON lines";
  EXPECT_EQ(Failure(path), message);
  EXPECT_EQ(Failure(folder_), message);
  Write("a.jsonl", "{\"text\": \"one\"}\n");
  const Documents documents = ReadDocuments(folder_);
  EXPECT_THAT(documents.texts, ElementsAre("one"));
  EXPECT_THAT(documents.files.left_out, ElementsAre("a.parquet"));
}

TEST_F(DocumentsTest, AFolderIsReadToItsDepthInOrderOfPaths) {
  Write("b.txt", "3");
  Write("a.jsonl", "{\"text\": \"1\"}");
  Write("a/z/x.txt", "2");
  Write("c.jsonl.gz", Gzip("{\"text\": \"5\"}"));
  Write("b.txt2/d.txt", "4");
  Write("README.md", "no document");
  Write("a/picture.png", "no document");
  Write(".git/x.txt", "hidden");
  Write(".x.txt", "hidden");
  fs::create_directories(folder_ + "/d.txt");
  const Documents documents = ReadDocuments(folder_);
  EXPECT_THAT(documents.texts, ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(documents.files.read,
              ElementsAre("a.jsonl", "a/z/x.txt", "b.txt", "b.txt2/d.txt", "c.jsonl.gz"));
  EXPECT_THAT(documents.files.left_out, ElementsAre("README.md", "a/picture.png"));
}

TEST_F(DocumentsTest, FilesThatDescribeTheOthersAreLeftAside) {
  Write("a.jsonl", "{\"text\": \"a\"}");
  Write("b.json", "{\"text\": \"b\"}");
  Write("dataset_info.json", "{\n \"features\": {}\n}");
  Write("state.json", "{\"_data_files\": []}");
  const Documents documents = ReadDocuments(folder_);
  EXPECT_THAT(documents.texts, ElementsAre("a", "b"));
  EXPECT_THAT(documents.files.left_out,
              ElementsAre("dataset_info.json (no \"text\")", "state.json (no \"text\")"));
  // In the place of a document, by its name or alone, it is an error.
  EXPECT_THAT(Failure(folder_ + "/state.json"), HasSubstr("state.json, line 1: no \"text\""));
  Write("c.jsonl", "{\"body\": \"a\"}");
  EXPECT_THAT(Failure(folder_), HasSubstr("c.jsonl, line 1: no \"text\""));
}

TEST_F(DocumentsTest, APackedFileBesideTheSameUnpackedIsLeftAside) {
  Write("a.jsonl", "{\"text\": \"a\"}");
  Write("a.jsonl.gz", Gzip("{\"text\": \"a\"}"));
  Write("b.txt.gz", Gzip("b"));
  Write("b.txt.zst", test::Zstd("b"));
  const Documents documents = ReadDocuments(folder_);
  EXPECT_THAT(documents.texts, ElementsAre("a", "b"));
  EXPECT_THAT(documents.files.left_out,
              ElementsAre("a.jsonl.gz (the same packed)", "b.txt.zst (the same packed)"));
}

TEST_F(DocumentsTest, LinksAreFollowedToFilesAlone) {
  const std::string other = folder_ + "/other";
  Write("other/x.txt", "x");
  Write("in/a.txt", "a");
  const std::string in = folder_ + "/in/";
  fs::create_symlink("../other/x.txt", in + "b.txt");
  fs::create_directory_symlink("..", in + "circle");
  fs::create_symlink("none", in + "c.txt");
  ASSERT_EQ(mkfifo((in + "d.txt").c_str(), 0600), 0);
  const Documents documents = ReadDocuments(in);
  EXPECT_THAT(documents.texts, ElementsAre("a", "x"));
  EXPECT_THAT(documents.files.left_out,
              ElementsAre("c.txt (a link to what is not there)", "circle (a link to a folder)",
                          "d.txt (not a regular file)"));
}

TEST_F(DocumentsTest, WhatWasReadIsSaidInOneLine) {
  EXPECT_EQ(FilesText({{"a.txt"}, {}}), "");
  EXPECT_EQ(FilesText({{"a.txt"}, {"b.md"}}), "1 file read (a.txt); skipped: b.md");
  EXPECT_EQ(FilesText({{"1", "2", "3", "4", "5", "6", "7", "8"}, {}}),
            "8 files read (1, 2, 3, 4, 5, 6 and 2 more)");
}

TEST_F(DocumentsTest, ErrorsNameTheFile) {
  EXPECT_EQ(Failure(folder_), folder_ + ": no document (.txt, .raw, .jsonl, .json) in this folder");
  EXPECT_EQ(Failure(folder_ + "/none.jsonl"), folder_ + "/none.jsonl: no such file");
  EXPECT_EQ(Failure(folder_ + "/none.txt"), folder_ + "/none.txt: no such file");
  EXPECT_THAT(Failure(Write("a.csv", "x")), HasSubstr("a.csv: expected a name that ends in"));
  EXPECT_THAT(Failure(folder_), HasSubstr("in this folder; skipped: a.csv"));
  EXPECT_THAT(Failure(Write("a.txt.gz", Gzip("a") + "b")),
              HasSubstr("a.txt.gz: at byte 21: neither gzip data nor padding"));
  EXPECT_THAT(Failure(Write("b.txt", "caf\xe9")), HasSubstr("b.txt: at byte 3: 0xE9 is not UTF-8"));
}

// The names in error messages and logs are files' own, and may hold anything.
TEST_F(DocumentsTest, ALineStaysOneLine) {
  Write("a.txt", "a");
  Write("b\nc.md", "b");
  const std::string text = FilesText(ReadDocuments(folder_).files);
  EXPECT_EQ(text, "1 file read (a.txt); skipped: \"b\\x0ac.md\"");
}

}  // namespace
}  // namespace sq
