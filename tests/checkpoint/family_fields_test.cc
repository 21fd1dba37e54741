// What config.json of each family says, and what is refused.
#include "sq/checkpoint/family_fields.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/checkpoint/architecture.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using Json = nlohmann::json;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ModelConfig Parse(const Json& json) { return ParseModelConfig(json.dump(), "config.json"); }
std::string Refusal(const Json& json) {
  return test::MessageOf([&] { Parse(json); });
}

Json With(Json json, const Json& more) {
  json.update(more);
  return json;
}

// The published configuration of Mistral-7B-v0.1.
Json Mistral() {
  return {{"model_type", "mistral"},
          {"hidden_size", 4096},
          {"intermediate_size", 14336},
          {"num_hidden_layers", 32},
          {"num_attention_heads", 32},
          {"num_key_value_heads", 8},
          {"max_position_embeddings", 32768},
          {"sliding_window", 4096},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"vocab_size", 32000},
          {"tie_word_embeddings", false}};
}

// Of Qwen2.5-0.5B.
Json Qwen2() {
  return {{"model_type", "qwen2"},
          {"hidden_size", 896},
          {"intermediate_size", 4864},
          {"num_hidden_layers", 24},
          {"num_attention_heads", 14},
          {"num_key_value_heads", 2},
          {"max_position_embeddings", 32768},
          {"max_window_layers", 24},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},
          {"hidden_act", "silu"},
          {"sliding_window", 32768},
          {"use_sliding_window", false},
          {"tie_word_embeddings", true},
          {"vocab_size", 151936},
          {"use_mrope", false}};
}

// Of OPT-6.7B.
Json Opt() {
  return {{"model_type", "opt"},
          {"hidden_size", 4096},
          {"ffn_dim", 16384},
          {"num_hidden_layers", 32},
          {"num_attention_heads", 32},
          {"max_position_embeddings", 2048},
          {"activation_function", "relu"},
          {"do_layer_norm_before", true},
          {"word_embed_proj_dim", 4096},
          {"vocab_size", 50272}};
}

TEST(FamilyFieldsTest, MistralAttendsToAWindow) {
  const ModelConfig config = Parse(Mistral());
  EXPECT_EQ(config.num_kv_heads, 8);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_FALSE(config.qkv_bias || config.attention_out_bias || config.mlp_bias);
  EXPECT_EQ(config.attention_windows.size(), 32u);
  EXPECT_THAT(config.attention_windows, Each(4096));
  EXPECT_EQ(config.AttentionWindow(31), 4096);
  // v0.2 and later say null; transformers takes 4096 where nothing is said.
  EXPECT_THAT(Parse(With(Mistral(), {{"sliding_window", nullptr}})).attention_windows, IsEmpty());
  EXPECT_EQ(Parse(With(Mistral(), {{"sliding_window", nullptr}})).AttentionWindow(5), 0);
  Json silent = Mistral();
  silent.erase("sliding_window");
  EXPECT_THAT(Parse(silent).attention_windows, Each(4096));
}

// transformers takes a Mistral with layer_types for its Ministral.
TEST(FamilyFieldsTest, MistralMayListTheLayersWithAWindow) {
  Json json = With(Mistral(), {{"num_hidden_layers", 3}, {"sliding_window", 100}});
  json["layer_types"] = {"full_attention", "sliding_attention", "full_attention"};
  EXPECT_THAT(Parse(json).attention_windows, ElementsAre(0, 100, 0));
  json["model_type"] = "ministral";
  EXPECT_THAT(Parse(json).attention_windows, ElementsAre(0, 100, 0));
  EXPECT_STREQ(Parse(json).architecture->model_type, "ministral");
  json["layer_types"] = {"full_attention", "full_attention", "full_attention"};
  EXPECT_THAT(Parse(json).attention_windows, IsEmpty());
  json["layer_types"] = nullptr;
  EXPECT_THAT(Parse(json).attention_windows, ElementsAre(100, 100, 100));
  json["layer_types"] = {"full_attention", "sliding_attention", "chunked_attention"};
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": not supported: expected full_attention or "
            "sliding_attention, found \"chunked_attention\"");
  json["layer_types"] = {"full_attention", "sliding_attention", 3};
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": not supported: expected full_attention or "
            "sliding_attention, found another type");
  json["layer_types"] = {"full_attention", "sliding_attention", "full_attention"};
  json["sliding_window"] = nullptr;
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": sliding_attention, but there is no sliding_window");
}

TEST(FamilyFieldsTest, LlamaHasNoWindows) {
  Json json = With(Mistral(), {{"model_type", "llama"}, {"num_hidden_layers", 2}});
  EXPECT_EQ(Refusal(json),
            "config.json: \"sliding_window\": not supported: expected null, found 4096");
  json["sliding_window"] = nullptr;
  json["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_THAT(Parse(json).attention_windows, IsEmpty());
  json["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": sliding_attention, but there is no sliding_window");
}

// The number of a family's own models where nothing is said, that of heads where null is.
TEST(FamilyFieldsTest, NullKeyHeadsAreAsManyAsHeads) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3"}) {
    Json json = With(Mistral(), {{"model_type", type},
                                 {"num_attention_heads", 64},
                                 {"sliding_window", nullptr},
                                 {"num_key_value_heads", nullptr}});
    EXPECT_EQ(Parse(json).num_kv_heads, 64) << type;
    json.erase("num_key_value_heads");
    const std::string name = type;
    EXPECT_EQ(Parse(json).num_kv_heads, name == "llama" ? 64 : name == "mistral" ? 8 : 32) << type;
  }
}

TEST(FamilyFieldsTest, PositionsOfAFamilyWhereNothingIsSaid) {
  Json json = With(Mistral(), {{"sliding_window", nullptr}});
  json.erase("max_position_embeddings");
  EXPECT_EQ(Parse(json).max_positions, 131072);
  json["model_type"] = "qwen3";
  EXPECT_EQ(Parse(json).max_positions, 32768);
  json["model_type"] = "llama";
  EXPECT_EQ(Parse(json).max_positions, 2048);
}

TEST(FamilyFieldsTest, Qwen2HasBiasesOnQueriesKeysAndValues) {
  const ModelConfig config = Parse(Qwen2());
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.attention_out_bias || config.mlp_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_THAT(config.attention_windows, IsEmpty());  // use_sliding_window is false
}

TEST(FamilyFieldsTest, QwenWindowsBeginAtALayerOrAreListed) {
  Json json = With(Qwen2(), {{"num_hidden_layers", 4},
                             {"use_sliding_window", true},
                             {"sliding_window", 100},
                             {"max_window_layers", 3}});
  EXPECT_THAT(Parse(json).attention_windows, ElementsAre(0, 0, 0, 100));
  json["layer_types"] = {"sliding_attention", "full_attention", "full_attention",
                         "sliding_attention"};
  EXPECT_THAT(Parse(json).attention_windows, ElementsAre(100, 0, 0, 100));
  json["layer_types"] = {"full_attention"};
  EXPECT_EQ(Refusal(json), "config.json: \"layer_types\": expected a list of 4 names");
  json["layer_types"] = {"full_attention", "linear_attention", "full_attention", "full_attention"};
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": not supported: expected full_attention or "
            "sliding_attention, found \"linear_attention\"");
}

TEST(FamilyFieldsTest, QwenWithoutWindowsMayNotListThem) {
  Json json = With(Qwen2(), {{"num_hidden_layers", 2}, {"sliding_window", 0}});
  EXPECT_THAT(Parse(json).attention_windows, IsEmpty());  // not used, so not looked at
  json["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_EQ(Refusal(json),
            "config.json: \"layer_types\": sliding_attention, but there is no sliding_window");
}

TEST(FamilyFieldsTest, Qwen3HeadsAreOf128Values) {
  Json json = Qwen2();
  json["model_type"] = "qwen3";
  json["hidden_size"] = 1024;
  json["num_attention_heads"] = 16;
  json["num_key_value_heads"] = 8;
  EXPECT_EQ(Parse(json).head_dim, 128);
  EXPECT_FALSE(Parse(json).qkv_bias);
  json["head_dim"] = 64;
  json["attention_bias"] = true;
  EXPECT_EQ(Parse(json).head_dim, 64);
  EXPECT_TRUE(Parse(json).qkv_bias && Parse(json).attention_out_bias);
}

TEST(FamilyFieldsTest, OptHasBiasesAndATiedHead) {
  const ModelConfig config = Parse(Opt());
  EXPECT_TRUE(config.qkv_bias && config.attention_out_bias && config.mlp_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.intermediate_size, 16384);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
}

TEST(FamilyFieldsTest, OptIsReluWhereNothingIsSaid) {
  Json json = Opt();
  json.erase("activation_function");
  EXPECT_EQ(Parse(json).activation, Activation::kRelu);
  json.erase("word_embed_proj_dim");
  json.erase("do_layer_norm_before");
  EXPECT_EQ(Parse(json).hidden_size, 4096);
}

TEST(FamilyFieldsTest, NullMeansWhatItMeansInPython) {
  EXPECT_FALSE(Parse(With(Opt(), {{"tie_word_embeddings", nullptr}})).tie_word_embeddings);
  EXPECT_FALSE(Parse(With(Opt(), {{"enable_bias", nullptr}})).qkv_bias);
  EXPECT_EQ(Refusal(With(Opt(), {{"do_layer_norm_before", nullptr}})),
            "config.json: \"do_layer_norm_before\": not supported: expected true, found null");
  EXPECT_EQ(Refusal(With(Mistral(), {{"is_causal", nullptr}})),
            "config.json: \"is_causal\": not supported: expected true, found null");
}

TEST(FamilyFieldsTest, ActivationsByAllTheirNames) {
  const struct {
    const char* name;
    Activation activation;
  } cases[] = {{"silu", Activation::kSilu},
               {"swish", Activation::kSilu},
               {"relu", Activation::kRelu},
               {"gelu", Activation::kGelu},
               {"gelu_python", Activation::kGelu},
               {"gelu_new", Activation::kGeluTanh},
               {"gelu_fast", Activation::kGeluTanh},
               {"gelu_accurate", Activation::kGeluTanh},
               {"gelu_pytorch_tanh", Activation::kGeluTanh},
               {"gelu_python_tanh", Activation::kGeluTanh}};
  for (const auto& c : cases) {
    EXPECT_EQ(Parse(With(Qwen2(), {{"hidden_act", c.name}})).activation, c.activation) << c.name;
    EXPECT_EQ(Parse(With(Opt(), {{"activation_function", c.name}})).activation, c.activation);
  }
  for (const char* name : {"quick_gelu", "gelu_10", "relu2", "mish", "SiLU", ""}) {
    EXPECT_EQ(
        Refusal(With(Qwen2(), {{"hidden_act", name}})),
        std::string("config.json: \"hidden_act\": not supported: expected silu, relu, gelu or "
                    "gelu_new, found \"") +
            name + "\"");
  }
}

TEST(FamilyFieldsTest, WhatIsNotComputedIsNamed) {
  EXPECT_EQ(Refusal(With(Qwen2(), {{"is_causal", false}})),
            "config.json: \"is_causal\": not supported: expected true, found false");
  EXPECT_EQ(Refusal(With(Qwen2(), {{"is_causal", true}})), "");
  EXPECT_EQ(Refusal(With(Mistral(), {{"logit_scale", 0.5}})),
            "config.json: \"logit_scale\": not supported: expected 1.0, found 0.5");
  EXPECT_EQ(Refusal(With(Opt(), {{"learned_embeddings", false}})),
            "config.json: \"learned_embeddings\": not supported: expected true, found false");
  // A field of one family is not known in another.
  EXPECT_THAT(Refusal(With(Mistral(), {{"mlp_bias", true}})), HasSubstr("\"mlp_bias\": not known"));
  EXPECT_THAT(Refusal(With(Opt(), {{"rope_theta", 10000}})),
              HasSubstr("\"rope_theta\": not known"));
  // OPT-350m: norms after, and an embedding of another width.
  EXPECT_EQ(Refusal(With(Opt(), {{"do_layer_norm_before", false}})),
            "config.json: \"do_layer_norm_before\": not supported: expected true, found false");
  EXPECT_EQ(Refusal(With(Opt(), {{"word_embed_proj_dim", 512}})),
            "config.json: \"word_embed_proj_dim\": not supported: expected hidden_size 4096, "
            "found 512");
  EXPECT_EQ(Refusal(With(Mistral(), {{"partial_rotary_factor", 0.5}})),
            "config.json: \"partial_rotary_factor\": not supported: expected 1.0, found 0.5");
  EXPECT_EQ(Refusal(With(Qwen2(), {{"num_experts", 8}})),
            "config.json: \"num_experts\": not supported: expected null, found 8");
  EXPECT_EQ(Refusal(With(Mistral(), {{"partial_rotary_factor", 1}})), "");
}

}  // namespace
}  // namespace sq
