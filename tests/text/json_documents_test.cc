#include "sq/text/json_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/packed_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class JsonDocumentsTest : public ::testing::Test {
 protected:
  JsonDocuments Read(const std::string& bytes, const std::string& field = "text") {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return ReadJsonDocuments(path_, field);
  }
  std::vector<std::string> Texts(const std::string& bytes, const std::string& field = "text") {
    const JsonDocuments documents = Read(bytes, field);
    EXPECT_EQ(documents.none, "");
    return documents.texts;
  }
  // What comes after the path in the message.
  std::string Failure(const std::string& bytes, const std::string& field = "text") {
    const std::string message = test::MessageOf([&] { Read(bytes, field); });
    EXPECT_THAT(message, StartsWith(path_));
    return message.substr(std::min(path_.size(), message.size()));
  }

  const std::string path_ = test::ScratchFolder() + "/file.json";
};

TEST_F(JsonDocumentsTest, LinesAreADocumentEach) {
  const std::string lines =
      "{\"text\": \"one\", \"n\": 1}\n\n{\"text\": \"\"}\r\n \"two\"\n{\"text\": \"th\\u00e9\\n\"}";
  EXPECT_THAT(Texts(lines), ElementsAre("one", "", "two", "th\u00e9\n"));
  EXPECT_THAT(Texts(test::Gzip(lines)), ElementsAre("one", "", "two", "th\u00e9\n"));
  EXPECT_THAT(Texts(test::Zstd(lines + "\n")), ElementsAre("one", "", "two", "th\u00e9\n"));
  EXPECT_THAT(Texts(""), IsEmpty());
  EXPECT_THAT(Texts("\n \n"), IsEmpty());
}

TEST_F(JsonDocumentsTest, AnArrayIsADocumentForEachElement) {
  for (const char* array :
       {"[\"a\", {\"text\": \"b]\\\"\"}]", "[\n \"a\",\n {\n  \"text\": \"b]\\\"\"\n }\n]\n",
        "\ufeff\n\n  [\"a\",\n{\"text\": \"b]\\\"\"}]"}) {
    EXPECT_THAT(Texts(array), ElementsAre("a", "b]\"")) << array;
  }
  EXPECT_THAT(Texts("[]"), IsEmpty());
  EXPECT_THAT(Texts("[\"a\"]\n[\"b\", \"c\"]\n"), ElementsAre("a", "b", "c"));
}

TEST_F(JsonDocumentsTest, ValuesMayTakeSeveralLines) {
  EXPECT_THAT(Texts("{\n  \"text\": \"a{\"\n}\n{\"text\": \"b\"}\n{\n  \"text\": \"c\"\n}\n"),
              ElementsAre("a{", "b", "c"));
}

TEST_F(JsonDocumentsTest, TheFieldHasAName) {
  const std::string lines = "{\"text\": \"no\", \"content\": \"yes\", \"id\": 3}\n";
  EXPECT_THAT(Texts(lines, "content"), ElementsAre("yes"));
  EXPECT_THAT(Texts("[" + lines + "]", "content"), ElementsAre("yes"));
  EXPECT_EQ(Failure("\"x\"\n" + lines, "body"),
            ", line 2: no \"body\"; --text-field chooses another, there is \"content\", \"text\"");
  EXPECT_EQ(Failure("[{\"id\": 3}]"), ", line 1, element 0: no \"text\"");
  std::string object = "{\"a\": \"\"";
  for (const char key : std::string("bcdefgh")) object += StrCat(", \"", key, "\": \"\"");
  EXPECT_THAT(Failure("[" + object + "}]"), EndsWith("\"e\", \"f\" and 2 more"));
}

TEST_F(JsonDocumentsTest, OneObjectWithoutTheFieldDescribes) {
  const JsonDocuments documents = Read("{\n \"features\": {},\n \"license\": \"\"\n}\n");
  EXPECT_THAT(documents.texts, IsEmpty());
  EXPECT_EQ(documents.none,
            path_ + ", line 1: no \"text\"; --text-field chooses another, there is \"license\"");
  // But not where more follows.
  EXPECT_EQ(Failure("{\"body\": \"x\"}\n{\"text\": \"x\"}\n"),
            ", line 1: no \"text\"; --text-field chooses another, there is \"body\"");
  EXPECT_EQ(Failure("{\"text\": \"x\"}\n{\"n\": 1}\n"), ", line 2: no \"text\"");
}

TEST_F(JsonDocumentsTest, ChatsNameTheTemplate) {
  const std::string message = "{\"role\": \"user\", \"content\": \"Hi\"}";
  for (const std::string& chat : std::vector<std::string>{
           "{\"messages\": [" + message + "]}", "{\"id\": \"1\", \"conversations\": []}",
           "[{\"messages\": []}]", "[[" + message + "]]", "[" + message + "]"}) {
    const std::string failure = Failure(chat);
    EXPECT_THAT(failure, HasSubstr(": chat messages (\"")) << chat;
    EXPECT_THAT(failure, HasSubstr("apply_chat_template")) << chat;
  }
  EXPECT_THAT(Failure("{\"messages\": []}", "messages"), HasSubstr("chat messages"));
  // A text is a text, whatever is beside it; and one may ask for the parts of a chat.
  EXPECT_THAT(Texts("{\"text\": \"a\", \"messages\": []}"), ElementsAre("a"));
  EXPECT_THAT(Texts("[" + message + "]", "content"), ElementsAre("Hi"));
}

TEST_F(JsonDocumentsTest, TokenIdsNameTheFlag) {
  EXPECT_THAT(
      Failure("[[1, 2], [3]]"),
      StartsWith(", line 1, element 0: expected a text, found token ids: sq-eval --tokens"));
  EXPECT_THAT(Failure("[1, 2]"), HasSubstr("found token ids"));
}

TEST_F(JsonDocumentsTest, OtherValuesAreNamed) {
  EXPECT_EQ(Failure("{\"text\": 7}\n"), ", line 1: \"text\": expected a string, found an integer");
  EXPECT_EQ(Failure("{\"text\": null}\n"), ", line 1: \"text\": expected a string, found null");
  EXPECT_EQ(Failure("null\n"), ", line 1: expected a text or an object with \"text\", found null");
  EXPECT_EQ(Failure("[\"a\", [\"b\"]]"),
            ", line 1, element 1: expected a text or an object with \"text\", found an array");
}

TEST_F(JsonDocumentsTest, DamageIsNamedByTheLineWhereItsValueBegins) {
  EXPECT_THAT(Failure("{\"text\": \"x\"}\n{\"text\": "),
              StartsWith(", line 2: not valid JSON at byte "));
  EXPECT_THAT(Failure("\"a\"\n{\"text\": \"cut\n\"b\"\n"),
              StartsWith(", line 2: not valid JSON at "));
  EXPECT_THAT(Failure("\n[\"a\",\n\"b\"\n"), StartsWith(", line 2: not valid JSON at "));
  EXPECT_THAT(Failure("[\"a\"]]\n"), StartsWith(", line 1: not valid JSON at byte 6"));
  EXPECT_THAT(Failure("\"a\" \"b\"\n"), StartsWith(", line 1: not valid JSON at "));
  EXPECT_THAT(Failure("\"a\"\n}\n"), StartsWith(", line 2: not valid JSON at "));
  EXPECT_THAT(Failure("plain text\n"), StartsWith(", line 1: not valid JSON at byte 1"));
  EXPECT_THAT(Failure(std::string(200, '[')), HasSubstr("nested deeper than 100"));
}

}  // namespace
}  // namespace sq
