// What config.json of each family beside LLaMA says, and what is refused.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/checkpoint/model_config.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using Json = nlohmann::json;
using ::testing::Each;
using ::testing::ElementsAre;
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

TEST(ModelFamiliesTest, MistralAttendsToAWindow) {
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

TEST(ModelFamiliesTest, Qwen2HasBiasesOnQueriesKeysAndValues) {
  const ModelConfig config = Parse(Qwen2());
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.attention_out_bias || config.mlp_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_THAT(config.attention_windows, IsEmpty());  // use_sliding_window is false
}

TEST(ModelFamiliesTest, QwenWindowsBeginAtALayerOrAreListed) {
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

TEST(ModelFamiliesTest, Qwen3HeadsAreOf128Values) {
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

TEST(ModelFamiliesTest, OptHasBiasesAndATiedHead) {
  const ModelConfig config = Parse(Opt());
  EXPECT_TRUE(config.qkv_bias && config.attention_out_bias && config.mlp_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.intermediate_size, 16384);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
}

TEST(ModelFamiliesTest, WhatIsNotComputedIsNamed) {
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
