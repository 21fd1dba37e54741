#include "sq/checkpoint/architecture.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

namespace sq {
namespace {

TEST(ArchitectureTest, LlamaLinearsHaveTheirPublishedNamesAndShapes) {
  ModelConfig config;  // LLaMA-3-8B
  config.architecture = FindArchitecture("llama");
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.num_heads = 32;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.qkv_bias = config.attention_out_bias = true;
  const struct {
    const char* name;
    int64_t out, in;
    bool bias;
  } expected[] = {{"self_attn.q_proj", 4096, 4096, true}, {"self_attn.k_proj", 1024, 4096, true},
                  {"self_attn.v_proj", 1024, 4096, true}, {"self_attn.o_proj", 4096, 4096, true},
                  {"mlp.gate_proj", 14336, 4096, false},  {"mlp.up_proj", 14336, 4096, false},
                  {"mlp.down_proj", 4096, 14336, false}};
  const std::vector<LinearInfo> linears = LayerLinears(config, 31);
  ASSERT_EQ(linears.size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    ASSERT_EQ(linears[i].parts.size(), 1u);
    EXPECT_EQ(static_cast<size_t>(linears[i].parts[0].role), i);
    EXPECT_EQ(linears[i].parts[0].begin, 0);
    EXPECT_EQ(linears[i].parts[0].rows, expected[i].out);
    EXPECT_EQ(linears[i].name, std::string("model.layers.31.") + expected[i].name);
    EXPECT_EQ(linears[i].out_features, expected[i].out);
    EXPECT_EQ(linears[i].in_features, expected[i].in);
    EXPECT_EQ(linears[i].bias, expected[i].bias);
  }
}

TEST(ArchitectureTest, OptHasNoGateAndLearnedPositions) {
  ModelConfig config;
  config.architecture = FindArchitecture("opt");
  config.hidden_size = 64;
  config.intermediate_size = 256;
  config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 4;
  config.head_dim = 16;
  config.vocab_size = 100;
  config.max_positions = 2048;
  config.mlp_bias = config.tie_word_embeddings = true;
  std::vector<std::string> names;
  for (const LinearInfo& linear : LayerLinears(config, 0)) names.push_back(linear.name);
  const std::string layer = "model.decoder.layers.0.";
  EXPECT_EQ(names,
            (std::vector<std::string>{layer + "self_attn.q_proj", layer + "self_attn.k_proj",
                                      layer + "self_attn.v_proj", layer + "self_attn.out_proj",
                                      layer + "fc1", layer + "fc2"}));
  EXPECT_EQ(LayerLinears(config, 0).back().in_features, 256);
  EXPECT_TRUE(LayerLinears(config, 0).back().bias);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const PlainTensor& tensor : PlainTensors(config)) shapes[tensor.name] = tensor.shape;
  const std::vector<int64_t> hidden = {64};
  EXPECT_EQ(shapes, (std::map<std::string, std::vector<int64_t>>{
                        {"model.decoder.embed_tokens.weight", {100, 64}},
                        {"model.decoder.embed_positions.weight", {2050, 64}},
                        {layer + "self_attn_layer_norm.weight", hidden},
                        {layer + "self_attn_layer_norm.bias", hidden},
                        {layer + "final_layer_norm.weight", hidden},
                        {layer + "final_layer_norm.bias", hidden},
                        {"model.decoder.final_layer_norm.weight", hidden},
                        {"model.decoder.final_layer_norm.bias", hidden}}));
}

// Of Phi-3-mini-4k-instruct.
TEST(ArchitectureTest, Phi3HasFusedTensors) {
  const ModelConfig config = ParseModelConfig(
      R"({"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192,
          "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
          "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
          "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000.0, "hidden_act": "silu",
          "sliding_window": 2047, "vocab_size": 32064, "bos_token_id": 1, "eos_token_id": 32000,
          "attention_bias": false, "attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
          "tie_word_embeddings": false, "pad_token_id": 32000, "use_cache": true})",
      "config.json");
  EXPECT_EQ(config.AttentionWindow(31), 2047);
  EXPECT_EQ(config.eos_token_ids, std::vector<int>{32000});
  const std::vector<LinearInfo> linears = LayerLinears(config, 3);
  ASSERT_EQ(linears.size(), 4u);
  EXPECT_EQ(linears[0].WeightName(), "model.layers.3.self_attn.qkv_proj.weight");
  EXPECT_EQ(linears[0].out_features, 3 * 3072);
  ASSERT_EQ(linears[0].parts.size(), 3u);
  EXPECT_EQ(linears[0].parts[2].role, LinearRole::kValue);
  EXPECT_EQ(linears[0].parts[2].begin, 2 * 3072);
  EXPECT_EQ(linears[0].parts[2].rows, 3072);
  EXPECT_EQ(linears[2].name, "model.layers.3.mlp.gate_up_proj");
  EXPECT_EQ(linears[2].out_features, 2 * 8192);
  EXPECT_EQ(linears[2].parts[0].role, LinearRole::kGate);
  EXPECT_EQ(linears[3].in_features, 8192);
  for (const LinearInfo& linear : linears) EXPECT_FALSE(linear.bias);
}

// What configuration_phi3.py takes where a file says nothing.
TEST(ArchitectureTest, Phi3sDefaultsAreItsOwn) {
  const ModelConfig config = ParseModelConfig(
      R"({"model_type": "phi3", "hidden_size": 64, "intermediate_size": 128,
          "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100})",
      "config.json");
  EXPECT_EQ(config.norm_epsilon, 1e-5);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.max_positions, 4096);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_ids, std::vector<int>{32000});
  EXPECT_EQ(config.AttentionWindow(0), 0);
}

TEST(ArchitectureTest, AnUnknownOneIsNone) {
  EXPECT_EQ(FindArchitecture("mamba"), nullptr);
  EXPECT_EQ(FindArchitecture(""), nullptr);
  EXPECT_STREQ(FindArchitecture("qwen3")->model_type, "qwen3");
  EXPECT_NE(KnownArchitectures().find("llama, mistral"), std::string::npos);
}

// Every row is one that the forward pass can run: each role once, but a gate where the MLP has
// none.
TEST(ArchitectureTest, RowsAreWhole) {
  std::istringstream known(KnownArchitectures());
  for (std::string name; std::getline(known, name, ',');) {
    const Architecture* row = FindArchitecture(name.substr(name.find_first_not_of(' ')));
    ASSERT_NE(row, nullptr) << name;
    std::multiset<LinearRole> roles;
    for (const LinearRow& linear : row->layer_linears) {
      roles.insert(linear.roles.begin(), linear.roles.end());
    }
    for (const LinearRole role : {LinearRole::kQuery, LinearRole::kKey, LinearRole::kValue,
                                  LinearRole::kAttentionOut, LinearRole::kUp, LinearRole::kDown}) {
      EXPECT_EQ(roles.count(role), 1u) << name << " " << static_cast<int>(role);
    }
    EXPECT_LE(roles.count(LinearRole::kGate), 1u) << name;
    std::multiset<NormRole> norms;
    for (const NormRow& norm : row->layer_norms) norms.insert(norm.role);
    EXPECT_EQ(norms.count(NormRole::kAttention), 1u) << name;
    EXPECT_EQ(norms.count(NormRole::kMlp), 1u) << name;
    EXPECT_EQ(norms.count(NormRole::kQuery), norms.count(NormRole::kKey)) << name;
  }
}

}  // namespace
}  // namespace sq
