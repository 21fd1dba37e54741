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
