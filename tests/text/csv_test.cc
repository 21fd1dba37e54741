#include "sq/text/csv.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<CsvRow> Read(const std::string& text) {
  const std::string path = test::ScratchFolder() + "/rows.csv";
  std::ofstream(path, std::ios::binary) << text;
  return ReadCsv(path);
}

std::vector<std::vector<std::string>> Fields(const std::string& text) {
  std::vector<std::vector<std::string>> fields;
  for (const CsvRow& row : Read(text)) fields.push_back(row.fields);
  return fields;
}

std::string Failure(const std::string& text) {
  return test::MessageOf([&] { Read(text); });
}

// A closed list of what matters, then random texts; rows by Python's csv.reader for both.
TEST(CsvTest, ReadsWhatPythonReads) {
  EXPECT_THAT(Fields("a,b\nc,d\n"), ElementsAre(ElementsAre("a", "b"), ElementsAre("c", "d")));
  EXPECT_THAT(Fields("a,b\r\nc,d"), ElementsAre(ElementsAre("a", "b"), ElementsAre("c", "d")));
  EXPECT_THAT(Fields("a\rb"), ElementsAre(ElementsAre("a"), ElementsAre("b")));
  EXPECT_THAT(Fields("\"x\"\"y\",\"\"\"\",\"\",\"a,b\""),
              ElementsAre(ElementsAre("x\"y", "\"", "", "a,b")));
  EXPECT_THAT(Fields("\"two\r\nlines\n\",z\n"), ElementsAre(ElementsAre("two\r\nlines\n", "z")));
  EXPECT_THAT(Fields(",,\n"), ElementsAre(ElementsAre("", "", "")));
  EXPECT_THAT(Fields("a \"b\" c, \"d\"\n"), ElementsAre(ElementsAre("a \"b\" c", " \"d\"")));
  EXPECT_THAT(Fields("\n\na\n\n\nb\n\n"), ElementsAre(ElementsAre("a"), ElementsAre("b")));
  EXPECT_THAT(Fields("\"a\"b\"c\",d\n"), ElementsAre(ElementsAre("ab\"c\"", "d")));
  EXPECT_THAT(Fields("a,\"b\nc,d\n"), ElementsAre(ElementsAre("a", "b\nc,d\n")));
  EXPECT_THAT(Fields("\xEF\xBB\xBFö\n"), ElementsAre(ElementsAre("ö")));
  EXPECT_THAT(Fields(""), ElementsAre());
}

TEST(CsvTest, ReadsRandomTextsAsPythonDoes) {
  const nlohmann::json cases = ReadJsonFile(test::GoldenText("csv.json"));
  ASSERT_GT(cases.size(), 700u);
  for (const nlohmann::json& one : cases) {
    const auto text = one[0].get<std::string>();
    EXPECT_EQ(nlohmann::json(Fields(text)), one[1]) << text;
  }
}

TEST(CsvTest, RowsKnowTheirLines) {
  const auto rows = Read("a\n\n\"b\nb\rb\r\n\"\r\nc\rd\n");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].line, 1);
  EXPECT_EQ(rows[1].line, 3);
  EXPECT_EQ(rows[2].line, 7);
  EXPECT_EQ(rows[3].line, 8);
}

TEST(CsvTest, WhatIsNoTextIsNamed) {
  EXPECT_THAT(Failure("a\n\nb,\xff\n"), HasSubstr("rows.csv: at byte 5: 0xFF is not UTF-8"));
  EXPECT_THAT(Failure("<!DOCTYPE html>"), HasSubstr("rows.csv: an HTML page"));
  EXPECT_EQ(test::MessageOf([] { ReadCsv("/nowhere/x.csv"); }), "/nowhere/x.csv: no such file");
}

}  // namespace
}  // namespace sq
