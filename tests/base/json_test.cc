#include "sq/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string ParseMessage(const std::string& text) {
  return MessageOf([&] { ParseJson(text, "file.json"); });
}

TEST(Json, ReadsAFile) {
  const std::string path = SQ_TEST_SCRATCH "/json_test_reads_a_file.json";
  std::ofstream(path) << R"({"a": [1, 2.5, "x"]})";
  EXPECT_EQ(ReadJsonFile(path)["a"][2], "x");
  EXPECT_THAT(MessageOf([&] { ReadJsonFile(path, 10); }),
              StartsWith(path + ": 20 bytes, expected at most 10"));
}

TEST(Json, NamesAFileThatCannotBeRead) {
  const std::string missing = SQ_TEST_SCRATCH "/json_test_missing.json";
  EXPECT_EQ(MessageOf([&] { ReadJsonFile(missing); }), missing + ": no such file");
  EXPECT_EQ(MessageOf([&] { ReadJsonFile(SQ_TEST_SCRATCH); }),
            SQ_TEST_SCRATCH ": not a regular file");
}

TEST(Json, SaysWhereDamagedTextBreaks) {
  EXPECT_THAT(ParseMessage(R"({"a": 1)"), StartsWith("file.json: not valid JSON at byte 8: "));
  EXPECT_THAT(ParseMessage(""), StartsWith("file.json: not valid JSON at byte 1: "));
  EXPECT_THAT(ParseMessage("{\"a\": tru\n}"), StartsWith("file.json: not valid JSON at byte "));
  EXPECT_THAT(ParseMessage(R"({"a": 1} x)"), StartsWith("file.json: not valid JSON at byte "));
  EXPECT_THAT(ParseMessage("[1e999]"), StartsWith("file.json: not valid JSON"));
  for (const char* text : {"{\"a\": \"\xff\"}", "[\"line\nbreak\"]", "\x00\x01", "[1,]", "nan"}) {
    EXPECT_THAT(ParseMessage(text), StartsWith("file.json: not valid JSON")) << text;
    EXPECT_THAT(ParseMessage(text), Not(HasSubstr("\n"))) << text;
  }
}

TEST(Json, RefusesHostileNesting) {
  EXPECT_EQ(ParseMessage(std::string(100, '[') + std::string(100, ']')), "");
  EXPECT_THAT(ParseMessage(std::string(101, '[') + std::string(101, ']')),
              StartsWith("file.json: JSON nested deeper than 100 levels at byte 100"));
  std::string text;
  for (int i = 0; i < 1000000; ++i) text += "{\"a\":";
  EXPECT_THAT(ParseMessage(text), HasSubstr("nested deeper"));
  EXPECT_EQ(ParseMessage("[\"" + std::string(1000, '[') + "\\\"" + std::string(9, '{') + "\"]"),
            "");
}

// As Python 3's json.loads reads them, which is where such files come from.
TEST(Json, ReadsWhatPythonWritesForNumbersThatAreNotFinite) {
  const auto json = ParseJson(
      R"({"a": NaN, "": "", "b": [Infinity, "NaN", -Infinity, ""], "c\"Infinity": -1, "d":NaN})",
      "file.json");
  EXPECT_TRUE(std::isnan(json["a"].get<double>()));
  EXPECT_EQ(json[""], "");
  EXPECT_EQ(json["b"][0], HUGE_VAL);
  EXPECT_EQ(json["b"][1], "NaN");
  EXPECT_EQ(json["b"][2], -HUGE_VAL);
  EXPECT_EQ(json["b"][3], "");
  EXPECT_EQ(json["c\"Infinity"], -1);
  EXPECT_TRUE(std::isnan(json["d"].get<double>()));
  EXPECT_TRUE(std::isnan(ParseJson("NaN", "file.json").get<double>()));
}

TEST(Json, WritesThemBackAndAllElseAsDumpDoes) {
  const nlohmann::ordered_json json = {{"z", {1, -2, 0.1, 1e-30, "x\n\"\\", true, nullptr}},
                                       {"a b\"", {{"c", {}}, {"d", {{"e", 1}}}}},
                                       {"list", nlohmann::ordered_json::array()},
                                       {"object", nlohmann::ordered_json::object()}};
  EXPECT_EQ(JsonText(json), json.dump(2));
  const std::string text = JsonText(ParseJson("[NaN, Infinity, -Infinity]", "x"));
  EXPECT_EQ(text, "[\n  NaN,\n  Infinity,\n  -Infinity\n]");
}

TEST(Json, TakesSuchWordsNowhereElse) {
  for (const char* text :
       {"{NaN: 1}", "{\"a\": 1, NaN: 2}", "[1NaN]", "[NaN1]", "[-NaN]", "[NaNNaN]", "[Infinit]",
        "[--Infinity]", "[+Infinity]", "[Infinity5]", "nan", "[inf]", "NaN NaN", "N", "-", "[I"}) {
    EXPECT_THAT(ParseMessage(text), StartsWith("file.json: not valid JSON")) << text;
  }
  EXPECT_THAT(ParseMessage("[NaN, Infinity, 1 2]"),
              StartsWith("file.json: not valid JSON at byte 19: "));
}

TEST(Json, GettersRefuseNumbersThatAreNotFinite) {
  const auto json = ParseJson(R"({"nan": NaN, "inf": Infinity, "neg": -Infinity})", "c.json");
  EXPECT_EQ(MessageOf([&] { JsonDouble(json, "nan", "c.json"); }),
            "c.json: \"nan\": expected a number, found NaN");
  EXPECT_EQ(MessageOf([&] { JsonDouble(json, "neg", "c.json", 1.0); }),
            "c.json: \"neg\": expected a number, found -Infinity");
  EXPECT_EQ(MessageOf([&] { JsonInt(json, "inf", "c.json"); }),
            "c.json: \"inf\": expected an integer, found Infinity");
}

TEST(Json, GettersCheckTypes) {
  const auto json = ParseJson(
      R"({"i": -3, "big": 18446744073709551615, "f": 1.5, "b": true, "s": "x", "null": null})",
      "c.json");
  EXPECT_EQ(JsonInt(json, "i", "c.json"), -3);
  EXPECT_EQ(JsonDouble(json, "i", "c.json"), -3.0);
  EXPECT_EQ(JsonDouble(json, "f", "c.json"), 1.5);
  EXPECT_TRUE(JsonBool(json, "b", "c.json"));
  EXPECT_EQ(JsonString(json, "s", "c.json"), "x");
  EXPECT_EQ(JsonInt(json, "none", "c.json", 7), 7);
  EXPECT_EQ(JsonString(json, "null", "c.json", "y"), "y");
  EXPECT_EQ(MessageOf([&] { JsonInt(json, "none", "c.json"); }), "c.json: no \"none\"");
  EXPECT_EQ(MessageOf([&] { JsonInt(json, "f", "c.json", 7); }),
            "c.json: \"f\": expected an integer, found a fraction");
  EXPECT_EQ(MessageOf([&] { JsonInt(json, "null", "c.json"); }),
            "c.json: \"null\": expected an integer, found null");
  EXPECT_EQ(MessageOf([&] { JsonInt(json, "big", "c.json"); }),
            "c.json: \"big\": 18446744073709551615 does not fit 64 bits");
  EXPECT_EQ(MessageOf([&] { JsonBool(json, "i", "c.json"); }),
            "c.json: \"i\": expected true or false, found an integer");
  EXPECT_EQ(MessageOf([&] { JsonString(json["i"], "s", "c.json", "y"); }),
            "c.json: expected an object with \"s\", found an integer");
}

}  // namespace
}  // namespace sq
