#include "sq/text/token_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/packed_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class TokenListsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
    return folder_ + "/" + name;
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(TokenListsTest, AreToldFromTextsByWhatIsInTheFile) {
  for (const char* lists :
       {"[[1, 2]]", "\n [\r\n\t[ 1 ]\n]", "[1, 2]", "[]", "[null]", "\ufeff[[1]]"}) {
    EXPECT_TRUE(HoldsTokenLists(Write("a.json", lists))) << lists;
  }
  for (const char* texts :
       {"[\"a\"]", "[{\"text\": \"a\"}]", "\n[\n  {\n", "{\"text\": \"[[1\"}", "\"a\"", "[", ""}) {
    EXPECT_FALSE(HoldsTokenLists(Write("a.json", texts))) << texts;
  }
  EXPECT_TRUE(HoldsTokenLists(Write("a.json.gz", test::Gzip("[[1]]"))));
  EXPECT_TRUE(HoldsTokenLists(Write("b.JSON", std::string(300000, ' ') + "[[1]]")));
  EXPECT_FALSE(HoldsTokenLists(Write("a.txt", "[[1]]")));
  EXPECT_FALSE(HoldsTokenLists(folder_ + "/none.json"));
  EXPECT_FALSE(HoldsTokenLists(folder_));
}

TEST_F(TokenListsTest, AreRead) {
  const std::string lists = "[[1, 2], [0, 2147483647]]";
  const auto expected = ElementsAre(ElementsAre(1, 2), ElementsAre(0, 2147483647));
  EXPECT_THAT(ReadTokenLists(Write("t.json", lists)), expected);
  EXPECT_THAT(ReadTokenLists(Write("any name", "\ufeff" + lists)), expected);
  EXPECT_THAT(ReadTokenLists(Write("t.json.zst", test::Zstd(lists))), expected);
}

TEST_F(TokenListsTest, ErrorsNameTheListAndThePlace) {
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
  for (const char* texts : {"[\"a\"]", "[{\"text\": \"a\"}]"}) {
    EXPECT_THAT(message(texts),
                StartsWith(": list 0: expected a list of token ids, found a text; texts are"));
  }
  EXPECT_THAT(message("[[1"), StartsWith(": not valid JSON at byte 4"));
}

}  // namespace
}  // namespace sq
