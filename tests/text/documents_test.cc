#include "sq/text/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DocumentsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
    return folder_ + "/" + name;
  }
  std::string WriteGzip(const std::string& name, const std::string& bytes) {
    const std::string path = folder_ + "/" + name;
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return path;
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(DocumentsTest, ATextFileIsOneDocumentWithUniversalNewlines) {
  EXPECT_THAT(ReadDocuments(Write("a.txt", " a\r\n\nb\rc\r\r\nd\r")),
              ElementsAre(" a\n\nb\nc\n\nd\n"));
  EXPECT_THAT(ReadDocuments(Write("b.txt", "")), ElementsAre(""));
}

TEST_F(DocumentsTest, JsonLinesAreADocumentEach) {
  const std::string lines =
      "{\"text\": \"one\", \"n\": 1}\n\n{\"text\": \"\"}\r\n{\"text\": \"th\\u00e9\\n\"}";
  EXPECT_THAT(ReadDocuments(Write("a.jsonl", lines)), ElementsAre("one", "", "th\u00e9\n"));
  EXPECT_THAT(ReadDocuments(WriteGzip("a.jsonl.gz", lines)), ElementsAre("one", "", "th\u00e9\n"));
  EXPECT_THAT(ReadDocuments(WriteGzip("a.json.gz", lines + "\n")),
              ElementsAre("one", "", "th\u00e9\n"));
}

TEST_F(DocumentsTest, AColumnHasAName) {
  const std::string path = Write("a.jsonl", "{\"text\": \"no\", \"sentence\": \"yes\"}\n");
  EXPECT_THAT(ReadDocuments(path, "sentence"), ElementsAre("yes"));
  EXPECT_EQ(test::MessageOf([&] { ReadDocuments(path, "body"); }), path + ", line 1: no \"body\"");
}

TEST_F(DocumentsTest, ParquetIsNotRead) {
  const std::string path = Write("a.parquet", "PAR1");
  const std::string message =
      path + ": Parquet is not read; scripts/fetch_data.py " + path + " converts it to JSON lines";
  EXPECT_EQ(test::MessageOf([&] { ReadDocuments(path); }), message);
  EXPECT_EQ(test::MessageOf([&] { ReadDocuments(folder_); }), message);
  Write("a.jsonl", "{\"text\": \"one\"}\n");
  EXPECT_THAT(ReadDocuments(folder_), ElementsAre("one"));
}

TEST_F(DocumentsTest, LinesMayBeLong) {
  const std::string text(300000, 'x');
  const std::string line = "{\"text\": \"" + text + "\"}\n";
  EXPECT_THAT(ReadDocuments(WriteGzip("a.jsonl.gz", line + line)), ElementsAre(text, text));
}

TEST_F(DocumentsTest, AFolderIsReadInOrderOfNames) {
  Write("b.txt", "second");
  Write("a.jsonl", "{\"text\": \"first\"}");
  WriteGzip("c.jsonl.gz", "{\"text\": \"third\"}");
  Write("README.md", "no document");
  std::filesystem::create_directories(folder_ + "/d.txt");
  EXPECT_THAT(ReadDocuments(folder_), ElementsAre("first", "second", "third"));
}

TEST_F(DocumentsTest, ErrorsNameFileAndLine) {
  const auto message = [](const std::string& path) {
    return test::MessageOf([&] { ReadDocuments(path); });
  };
  EXPECT_EQ(message(folder_), folder_ + ": no .txt, .jsonl or .json.gz file in this folder");
  EXPECT_EQ(message(folder_ + "/none.jsonl"), folder_ + "/none.jsonl: no such file");
  EXPECT_EQ(message(folder_ + "/none.txt"), folder_ + "/none.txt: no such file");
  EXPECT_THAT(message(Write("a.csv", "x")), HasSubstr("a.csv: expected a name that ends in"));
  EXPECT_THAT(message(Write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": ")),
              StartsWith(folder_ + "/a.jsonl, line 2: not valid JSON at byte "));
  EXPECT_EQ(message(Write("a.jsonl", "\n{\"body\": \"x\"}\n")),
            folder_ + "/a.jsonl, line 2: no \"text\"");
  EXPECT_EQ(message(Write("a.jsonl", "{\"text\": 7}\n")),
            folder_ + "/a.jsonl, line 1: \"text\": expected a string, found an integer");
  EXPECT_EQ(message(Write("a.jsonl", "[]\n")),
            folder_ + "/a.jsonl, line 1: expected an object with \"text\", found an array");
}

TEST_F(DocumentsTest, DamagedGzipIsAnError) {
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "{\"text\": \"" + std::to_string(i * 7919) + "\"}\n";
  const std::string path = WriteGzip("a.jsonl.gz", lines);
  const auto size = std::filesystem::file_size(path);
  std::string bytes(size, '\0');
  std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(size));
  for (const size_t cut : {size - 1, size - 9, size / 2, size_t{12}}) {
    Write("cut.jsonl.gz", bytes.substr(0, cut));
    EXPECT_THAT(test::MessageOf([&] { ReadDocuments(folder_ + "/cut.jsonl.gz"); }),
                StartsWith(folder_ + "/cut.jsonl.gz, after line "))
        << cut;
  }
  bytes[size / 2] ^= 0x40;
  Write("bad.jsonl.gz", bytes);
  EXPECT_THAT(test::MessageOf([&] { ReadDocuments(folder_ + "/bad.jsonl.gz"); }),
              StartsWith(folder_ + "/bad.jsonl.gz, "));
}

TEST_F(DocumentsTest, ReadsTokenLists) {
  EXPECT_THAT(ReadTokenLists(Write("t.json", "[[1, 2], [0, 2147483647]]")),
              ElementsAre(ElementsAre(1, 2), ElementsAre(0, 2147483647)));
  const auto message = [&](const std::string& bytes) {
    const std::string path = Write("t.json", bytes);
    return test::MessageOf([&] { ReadTokenLists(path); }).substr(path.size());
  };
  EXPECT_EQ(message("[]"), ": expected a list of lists of token ids, found an empty list");
  EXPECT_EQ(message("{}"), ": expected a list of lists of token ids, found an object");
  EXPECT_EQ(message("[1, 2]"), ": list 0: expected a list of token ids, found an integer");
  EXPECT_EQ(message("[[1], []]"), ": list 1: expected a list of token ids, found an empty list");
  EXPECT_EQ(message("[[1, -1]]"),
            ": list 0: expected ids from 0 to 2147483647, found -1 at place 1");
  EXPECT_EQ(message("[[2147483648]]"),
            ": list 0: expected ids from 0 to 2147483647, found 2147483648 at place 0");
  EXPECT_EQ(message("[[1.5]]"),
            ": list 0: expected ids from 0 to 2147483647, found a fraction at place 0");
  EXPECT_THAT(message("[[1"), StartsWith(": not valid JSON at byte 4"));
}

}  // namespace
}  // namespace sq
