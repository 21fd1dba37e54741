#include "sq/model/architecture.h"

#include <gtest/gtest.h>

#include "sq/base/error.h"

namespace sq {
namespace {

TEST(ArchitectureTest, LlamaLinearsHaveTheirPublishedNamesAndShapes) {
  ModelConfig config;  // LLaMA-3-8B
  config.model_type = "llama";
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.num_heads = 32;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.attention_bias = true;
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
    EXPECT_EQ(static_cast<size_t>(linears[i].projection), i);
    EXPECT_EQ(linears[i].name, std::string("model.layers.31.") + expected[i].name);
    EXPECT_EQ(linears[i].out_features, expected[i].out);
    EXPECT_EQ(linears[i].in_features, expected[i].in);
    EXPECT_EQ(linears[i].bias, expected[i].bias);
  }
}

TEST(ArchitectureTest, AnUnknownOneIsNamed) {
  try {
    FindArchitecture("mamba");
    FAIL() << "mamba was found";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "model_type mamba is not supported");
  }
}

}  // namespace
}  // namespace sq
