#include "sq/checkpoint/config_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using Json = nlohmann::json;
using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Rest(const std::string& text, const std::string& path = "") {
  const Json json = ParseJson(text, "c.json");
  const ConfigFields fields(json, "c.json");
  return MessageOf([&] { fields.CheckRest({"known"}, path); });
}

TEST(ConfigFieldsTest, NamesWhatNobodyReads) {
  EXPECT_EQ(Rest(R"({"known": 3, "other": 4})"),
            "c.json: \"other\": not known, and may change what is computed: found 4; "
            "--ignore-config-field other passes it over");
  EXPECT_THAT(Rest(R"({"a": 1, "b": "x", "c": {"d": 1}})"),
              testing::AllOf(HasSubstr("\"a\": not known"), HasSubstr("\"b\""), HasSubstr("\"c\""),
                             HasSubstr("found \"x\""), HasSubstr("found an object")));
  EXPECT_THAT(Rest(R"({"a": true})", "quantization_config."),
              HasSubstr("--ignore-config-field quantization_config.a passes"));
  EXPECT_THAT(Rest(R"({"a": 0})"), HasSubstr("found 0"));
  EXPECT_THAT(Rest(R"({"a": -Infinity, "b": NaN})"),
              testing::AllOf(HasSubstr("found -Infinity"), HasSubstr("found NaN")));
}

TEST(ConfigFieldsTest, PassesOverWhatSaysNothing) {
  EXPECT_EQ(Rest(R"({"a": null, "b": false, "c": "", "d": [], "e": {}, "known": NaN})"), "");
}

TEST(ConfigFieldsTest, PrintsHostileNamesAndValuesInOneShortLine) {
  const std::string message = Rest(Json{{"a\nb", std::string(1000, 'x')}}.dump());
  EXPECT_THAT(message, HasSubstr("--ignore-config-field NAME"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_LT(message.size(), 300u);
  Json many;
  for (int i = 0; i < 1000; ++i) many["field" + std::to_string(i)] = i;
  EXPECT_THAT(Rest(many.dump()), HasSubstr("; and 995 more"));
}

TEST(ConfigFieldsTest, AReadingCountsWhateverItFinds) {
  const Json json = {{"i", 3},     {"f", 0.5},        {"s", "x"},   {"b", true},
                     {"ids", {1}}, {"o", {{"p", 1}}}, {"fixed", 1}, {"marked", 1}};
  ConfigFields fields(json, "c.json");
  EXPECT_EQ(fields.Int("i", 0, 9), 3);
  EXPECT_EQ(fields.Int("none", 0, 9, 7), 7);
  EXPECT_EQ(fields.PositiveDouble("f"), 0.5);
  EXPECT_EQ(fields.String("s"), "x");
  EXPECT_TRUE(fields.Bool("b", false));
  EXPECT_THAT(fields.TokenIds("ids"), ElementsAre(1));
  EXPECT_EQ(*fields.Find("o"), json["o"]);
  fields.Fixed("fixed", {1});
  EXPECT_TRUE(fields.Has("marked"));
  EXPECT_THAT(MessageOf([&] { fields.CheckRest({}); }), HasSubstr("\"marked\""));
  fields.MarkRead({"marked"});
  EXPECT_EQ(MessageOf([&] { fields.CheckRest({}); }), "");
}

TEST(ConfigFieldsTest, NullIsFalseAndAbsentIsTheFallback) {
  const Json json = {{"null", nullptr}};
  ConfigFields fields(json, "c.json");
  EXPECT_FALSE(fields.Bool("null", true));
  EXPECT_TRUE(fields.Bool("absent", true));
  EXPECT_EQ(fields.Int("null", 0, 9, 4), 4);
  EXPECT_EQ(fields.Find("null"), nullptr);
  EXPECT_TRUE(fields.Has("null"));
}

TEST(ConfigFieldsTest, MinusOneIsNoToken) {
  const auto ids = [](const Json& value) {
    const Json json = Json::parse(Json{{"id", value}}.dump());
    return ConfigFields(json, "c.json").TokenIds("id");
  };
  EXPECT_THAT(ids(-1), IsEmpty());
  EXPECT_THAT(ids({2, -1, 3}), ElementsAre(2, 3));
  EXPECT_THAT(ids(nullptr), IsEmpty());
  EXPECT_THAT(ids(2147483647), ElementsAre(2147483647));
  EXPECT_EQ(MessageOf([&] { ids(-2); }), "c.json: \"id\": expected token ids, found -2");
  EXPECT_EQ(MessageOf([&] { ids(18446744073709551615u); }),
            "c.json: \"id\": expected token ids, found 18446744073709551615");
  EXPECT_EQ(MessageOf([&] { ids(2.0); }), "c.json: \"id\": expected token ids, found 2.0");
}

TEST(ConfigFieldsTest, FixedTakesItsValuesAlone) {
  const Json json = {{"null", nullptr}, {"one", 1}, {"big", std::string(500, 'x')}};
  ConfigFields fields(json, "c.json");
  EXPECT_EQ(MessageOf([&] { fields.Fixed("absent", {true}); }), "");
  EXPECT_EQ(MessageOf([&] { fields.Fixed("one", {1.0, nullptr}); }), "");
  EXPECT_EQ(MessageOf([&] { fields.Fixed("null", {1.0, nullptr}); }), "");
  EXPECT_EQ(MessageOf([&] { fields.Fixed("null", {true}); }),
            "c.json: \"null\": not supported: expected true, found null");
  EXPECT_EQ(MessageOf([&] { fields.Fixed("one", {2}); }),
            "c.json: \"one\": not supported: expected 2, found 1");
  EXPECT_LT(MessageOf([&] { fields.Fixed("big", {2}); }).size(), 200u);
}

TEST(ConfigFieldsTest, ErasesByPath) {
  Json json = {{"a", 1}, {"b", {{"c", 2}, {"d.e", 3}}}, {"x.y", 4}};
  for (const char* name : {"a", "b.c", "b.d.e", "x.y", "none", "a.b", "b.none.c", "", "."}) {
    EraseField(&json, name);
  }
  EXPECT_EQ(json, Json({{"b", Json::object()}}));
}

TEST(ConfigFieldsTest, ReadsNothingButObjects) {
  const Json list = Json::array({1});
  EXPECT_EQ(MessageOf([&] { ConfigFields(list, "c.json"); }),
            "c.json: expected an object, found an array");
}

}  // namespace
}  // namespace sq
