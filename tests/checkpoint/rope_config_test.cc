#include "sq/checkpoint/rope_config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using Json = nlohmann::json;

constexpr int64_t kPositions = 256, kHeadDim = 8;

Rope Parse(const char* config) {
  return ParseRope(Json::parse(config), kPositions, kHeadDim, "config.json");
}
Rope ParseScaling(const std::string& scaling) {
  return Parse((R"({"rope_scaling":)" + scaling + "}").c_str());
}
std::string Refusal(const std::string& config) {
  return MessageOf([&] { Parse(config.c_str()); });
}

TEST(RopeConfigTest, ReadsWhatTransformers4Writes) {
  EXPECT_EQ(Parse("{}").theta, 10000);
  EXPECT_EQ(Parse("{}").scaling, Rope::Scaling::kNone);
  Rope rope = Parse(R"({"rope_theta":500000.0,"rope_scaling":{"type":"linear","factor":2.0}})");
  EXPECT_EQ(rope.theta, 500000);
  EXPECT_EQ(rope.scaling, Rope::Scaling::kLinear);
  EXPECT_EQ(rope.factor, 2);
  rope = ParseScaling(R"({"rope_type":"llama3","type":"llama3","factor":8,"low_freq_factor":1.5,
      "high_freq_factor":4,"original_max_position_embeddings":8192})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kLlama3);
  EXPECT_EQ(rope.factor, 8);
  EXPECT_EQ(rope.low_freq_factor, 1.5);
  EXPECT_EQ(rope.high_freq_factor, 4);
  EXPECT_EQ(rope.original_max_positions, 8192);
  EXPECT_EQ(ParseScaling(R"({"rope_type":"default"})").scaling, Rope::Scaling::kNone);
  EXPECT_EQ(ParseScaling("null").scaling, Rope::Scaling::kNone);
}

TEST(RopeConfigTest, ReadsWhatTransformers5Writes) {
  Rope rope = Parse(R"({"rope_parameters":{"rope_type":"default","rope_theta":500000.0}})");
  EXPECT_EQ(rope.theta, 500000);
  EXPECT_EQ(rope.scaling, Rope::Scaling::kNone);
  // The object goes before the field of old, which a file may have as well.
  rope = Parse(R"({"rope_theta":1,"rope_parameters":{"rope_theta":20000}})");
  EXPECT_EQ(rope.theta, 20000);
  rope = Parse(R"({"rope_parameters":{"rope_type":"llama3","rope_theta":10000,"factor":32.0,
      "low_freq_factor":1.0,"high_freq_factor":4.0}})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kLlama3);
  EXPECT_EQ(rope.original_max_positions, kPositions);
}

// What a model card tells to add counts, as in transformers.
TEST(RopeConfigTest, RopeScalingGoesBeforeRopeParameters) {
  const Rope rope = Parse(R"({"rope_scaling":{"rope_type":"linear","factor":4},
      "rope_parameters":{"rope_type":"yarn","factor":2,"rope_theta":10000}})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kLinear);
  EXPECT_EQ(rope.factor, 4);
  EXPECT_EQ(Parse(R"({"rope_scaling":{},"rope_parameters":{"rope_theta":7}})").theta, 7);
  EXPECT_EQ(ParseScaling(R"({"rope_theta":5e5})").theta, 5e5);
  // transformers would take 10000; hardly what the file means.
  EXPECT_EQ(
      Refusal(
          R"({"rope_scaling":{"type":"linear","factor":4},"rope_parameters":{"rope_theta":5e5}})"),
      "config.json: \"rope_parameters\": \"rope_theta\": expected 10000, which counts with "
      "rope_scaling beside it (or give rope_theta in rope_scaling), found 500000");
  EXPECT_EQ(Parse(R"({"rope_scaling":{"type":"linear","factor":4,"rope_theta":5e5},
      "rope_parameters":{"rope_theta":5e5}})")
                .theta,
            5e5);
}

TEST(RopeConfigTest, TheOriginalContextOutsideOverrulesTheOneInside) {
  const Rope rope = Parse(R"({"original_max_position_embeddings":32,"rope_scaling":{
      "type":"yarn","factor":4,"original_max_position_embeddings":64}})");
  EXPECT_EQ(rope.original_max_positions, 32);
}

TEST(RopeConfigTest, ReadsTheFieldsOfEachType) {
  Rope rope = ParseScaling(R"({"type":"dynamic","factor":2,
      "original_max_position_embeddings":256})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kDynamic);
  EXPECT_EQ(rope.factor, 2);
  EXPECT_EQ(rope.max_positions, kPositions);
  rope = ParseScaling(R"({"rope_type":"yarn","original_max_position_embeddings":64,"beta_fast":16,
      "beta_slow":2,"truncate":false,"attention_factor":1.5})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kYarn);
  EXPECT_EQ(rope.factor, 4);  // how much longer the context is
  EXPECT_EQ(rope.beta_fast, 16);
  EXPECT_EQ(rope.beta_slow, 2);
  EXPECT_FALSE(rope.truncate);
  EXPECT_EQ(rope.attention_factor, 1.5);
  rope = ParseScaling(R"({"rope_type":"longrope","short_factor":[1,1,1,1.5],
      "long_factor":[1,2,3,4],"factor":8})");
  EXPECT_EQ(rope.scaling, Rope::Scaling::kLongRope);
  EXPECT_THAT(rope.short_factors, ElementsAre(1, 1, 1, 1.5));
  EXPECT_THAT(rope.long_factors, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(rope.original_max_positions, kPositions);
  EXPECT_DOUBLE_EQ(rope.attention_factor, std::sqrt(1 + 3.0 / 8));  // log 8 / log 256
}

TEST(RopeConfigTest, FieldsThatSayNothingPass) {
  for (const char* field :
       {R"("mrope_section":null)", R"("some_switch":false)", R"("list":[])",
        R"("partial_rotary_factor":1.0)", R"("attn_factor":1)", R"("finetuned":true)"}) {
    const std::string yarn = R"({"type":"yarn","factor":2,)";
    EXPECT_EQ(ParseScaling(yarn + field + "}").scaling, Rope::Scaling::kYarn) << field;
  }
}

TEST(RopeConfigTest, NamesTheFieldAtFault) {
  const std::string unknown =
      ": rope type not supported: expected one of default, linear, "
      "dynamic, llama3, yarn, longrope, found ";
  const auto alone = [](const std::string& field, const std::string& type,
                        const std::string& found) {
    return ": \"" + field + "\": not supported: expected fields of rope type " + type +
           " alone, found " + found;
  };
  const std::string longrope = R"({"type":"longrope","short_factor":[1,1,1,1],"long_factor":)";
  const struct {
    std::string value, message;
  } cases[] = {
      {R"("linear")", ": expected an object with \"rope_theta\", found a string"},
      {R"({"factor":2})", alone("factor", "default", "2")},
      {R"({"type":"su"})", unknown + "\"su\""},
      {R"({"type":"linear","rope_type":"yarn"})",
       ": \"rope_type\" is \"yarn\", but \"type\" is "
       "\"linear\""},
      {R"({"rope_type":7})", ": \"rope_type\": expected a string, found an integer"},
      {R"({"type":"linear"})", ": no \"factor\""},
      {R"({"type":"linear","factor":0})", ": \"factor\": expected a positive number, found 0"},
      {R"({"type":"linear","factor":"2"})", ": \"factor\": expected a number, found a string"},
      {R"({"type":"dynamic","factor":2,"alpha":1000})", alone("alpha", "dynamic", "1000")},
      {R"({"type":"dynamic","factor":2,"original_max_position_embeddings":64})",
       alone("original_max_position_embeddings", "dynamic", "64")},
      {R"({"type":"yarn","factor":2,"partial_rotary_factor":0.5})",
       alone("partial_rotary_factor", "yarn", "0.5")},
      {R"({"type":"yarn","factor":2,"beta_fast":-1})",
       ": \"beta_fast\": expected a positive number, found -1"},
      {R"({"type":"yarn","factor":2,"truncate":1})",
       ": \"truncate\": expected true or false, found an integer"},
      {R"({"type":"yarn","factor":2,"rope_theta":1})",
       ": rope type yarn: expected a rope_theta above 1, found 1"},
      {longrope + "[1,2,3]}", ": \"long_factor\": expected a list of 4 numbers, found 3 of them"},
      {longrope + "7}", ": \"long_factor\": expected a list of 4 numbers, found an integer"},
      {longrope + "[1,2,3,0]}", ": \"long_factor\": expected a positive number, found 0"},
      {longrope + R"([1,2,3,"4"]})", ": \"long_factor\": expected numbers, found a string"},
      {longrope + R"([1,2,3,4],"original_max_position_embeddings":1})",
       ": \"original_max_position_embeddings\": expected a number above 1, found 1"},
      {R"({"type":"llama3","factor":8,"high_freq_factor":4})", ": no \"low_freq_factor\""},
      {R"({"type":"llama3","factor":8,"low_freq_factor":1})", ": no \"high_freq_factor\""},
      {R"({"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4})",
       ": expected low_freq_factor below high_freq_factor"},
      {R"({"type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,)"
       R"("original_max_position_embeddings":-1})",
       ": \"original_max_position_embeddings\": expected a positive number, found -1"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Refusal(R"({"rope_scaling":)" + c.value + "}"),
              "config.json: \"rope_scaling\"" + c.message);
  }
  EXPECT_EQ(
      Refusal(R"({"rope_parameters":{"rope_type":"default","rope_theta":0}})"),
      "config.json: \"rope_parameters\": \"rope_theta\": expected a positive number, found 0");
  // One set for each kind of layer, as Gemma 3 has them.
  EXPECT_EQ(Refusal(R"({"rope_parameters":{"full_attention":{"rope_type":"default"}}})"),
            "config.json: \"rope_parameters\"" +
                alone("full_attention", "default", R"({"rope_type":"default"})"));
  EXPECT_EQ(MessageOf([] {
              ParseRope(Json::parse(R"({"rope_scaling":{"type":"dynamic","factor":2}})"), 8, 2,
                        "config.json");
            }),
            "config.json: \"rope_scaling\": rope type dynamic: expected a head_dim above 2");
}

}  // namespace
}  // namespace sq
