#include "sq/text/csv.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
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

// What Python 3.11's csv.reader gives for the same bytes (blank lines left out).
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
  EXPECT_THAT(Fields("\xEF\xBB\xBFö\n"), ElementsAre(ElementsAre("ö")));
  EXPECT_THAT(Fields(""), ElementsAre());
}

TEST(CsvTest, RowsKnowTheirLines) {
  const auto rows = Read("a\n\n\"b\nb\"\r\nc\n");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].line, 1);
  EXPECT_EQ(rows[1].line, 3);
  EXPECT_EQ(rows[2].line, 5);
}

TEST(CsvTest, DamageIsNamedByRowAndLine) {
  EXPECT_THAT(Failure("a,b\nc,\"d\ne"),
              EndsWith("rows.csv: row 2 (line 2): a quote that opens a field is never closed"));
  EXPECT_THAT(Failure("a\n\"b\"c\n"), HasSubstr("row 2 (line 2): expected a comma or the line's "
                                                "end after a closing quote, found 'c'"));
  EXPECT_THAT(Failure("a\n\nb,\xff\n"), HasSubstr("row 2 (line 3): not UTF-8"));
  EXPECT_THAT(Failure("\"\xc3\"\n"), HasSubstr("row 1 (line 1): not UTF-8"));
  EXPECT_THAT(test::MessageOf([] { ReadCsv("/nowhere/x.csv"); }), HasSubstr("/nowhere/x.csv"));
}

}  // namespace
}  // namespace sq
