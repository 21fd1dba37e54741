#include "sq/model/rope_table.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using Json = nlohmann::json;

ModelConfig Small(double theta) {
  ModelConfig config;
  config.architecture = FindArchitecture("llama");
  config.head_dim = 8;
  config.rope.theta = theta;
  return config;
}

// 14 positions before its frequencies change.
ModelConfig LengthDependent(const std::string& name) {
  return ReadModelConfig(test::GoldenModel(name).folder);
}

void ExpectSame(const RopeTable& a, const RopeTable& b) {
  EXPECT_TRUE(at::equal(a.cos, b.cos));
  EXPECT_TRUE(at::equal(a.sin, b.sin));
}

// Every type, spelling and default: tests/golden/README.md.
TEST(RopeTableTest, FrequenciesAreThoseOfTransformers) {
  const Json cases = ReadJsonFile(SQ_GOLDEN_DIR "/rope.json");
  ASSERT_GT(cases.size(), 30u);
  for (const Json& one : cases) {
    const std::string text = one["config"].dump();
    const ModelConfig config = ParseModelConfig(text, "config.json");
    for (const Json& at_length : one["lengths"]) {
      const auto expected = at_length["frequencies"].get<std::vector<double>>();
      const std::vector<float> found = RopeFrequencies(config, at_length["length"].get<int64_t>());
      ASSERT_EQ(found.size(), expected.size()) << text;
      for (size_t i = 0; i < found.size(); ++i) {
        // A few roundings in fp32, where its pow may differ from std::pow in the last bit.
        EXPECT_NEAR(found[i] / expected[i], 1, 5e-7)
            << text << ' ' << at_length["length"] << ' ' << i;
      }
      EXPECT_NEAR(config.rope.attention_factor, at_length["attention"].get<double>(), 1e-12)
          << text;
    }
  }
}

TEST(RopeTableTest, AnglesFollowTheirDefinition) {
  ModelConfig config = Small(100);
  const RopeTable table = MakeRopeTable(config, 5, 3, 8, kCpu);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t i = 0; i < 8; ++i) {
      const double angle = static_cast<double>(5 + t) * std::pow(100.0, -2.0 * (i % 4) / 8);
      EXPECT_NEAR(table.cos[t][i].item<double>(), std::cos(angle), 1e-6);
      EXPECT_NEAR(table.sin[t][i].item<double>(), std::sin(angle), 1e-6);
    }
  }
  config.rope.attention_factor = 1.5;
  EXPECT_TRUE(at::allclose(MakeRopeTable(config, 5, 3, 8, kCpu).sin, 1.5 * table.sin, 1e-6, 1e-6));
}

TEST(RopeTableTest, LearnedPositionsHaveNone) {
  ModelConfig config = Small(100);
  config.architecture = FindArchitecture("opt");
  EXPECT_FALSE(MakeRopeTable(config, 0, 3, 3, kCpu).cos.defined());
  EXPECT_FALSE(MakeStepwiseRopeTable(config, 0, 3).cos.defined());
  EXPECT_FALSE(RopeTables(config, 3, kCpu).Rows(0, 3, 3).cos.defined());
  EXPECT_EQ(RopeLength(config, 7), 0);
}

TEST(RopeTableTest, SaysWhatOfALengthCounts) {
  EXPECT_EQ(RopeLength(Small(100), 1), RopeLength(Small(100), 1000));
  const ModelConfig dynamic = LengthDependent("llama-dynamic-bf16");
  EXPECT_EQ(RopeLength(dynamic, 1), RopeLength(dynamic, 14));
  EXPECT_NE(RopeLength(dynamic, 14), RopeLength(dynamic, 15));
  EXPECT_NE(RopeLength(dynamic, 15), RopeLength(dynamic, 16));
  const ModelConfig longrope = LengthDependent("mistral-longrope-bf16");
  EXPECT_EQ(RopeLength(longrope, 1), RopeLength(longrope, 14));
  EXPECT_NE(RopeLength(longrope, 14), RopeLength(longrope, 15));
  EXPECT_EQ(RopeLength(longrope, 15), RopeLength(longrope, 1000));
}

TEST(RopeTableTest, KeptRowsAreThoseOfTheirLength) {
  for (const char* name : test::kLengthModels) {
    const ModelConfig config = LengthDependent(name);
    const RopeTables tables(config, 40, kCpu);
    for (const int64_t length : {1, 9, 14, 15, 22, 40}) {
      ExpectSame(tables.Rows(0, length, length), MakeRopeTable(config, 0, length, length, kCpu));
      ExpectSame(tables.Rows(length - 1, 1, length),
                 MakeRopeTable(config, length - 1, 1, length, kCpu));
    }
    EXPECT_FALSE(at::equal(tables.Rows(1, 9, 14).cos, tables.Rows(1, 9, 15).cos)) << name;
    const RopeTables within(config, 14, kCpu);
    ExpectSame(within.Rows(3, 5, 14), MakeRopeTable(config, 3, 5, 14, kCpu));
  }
}

TEST(RopeTableTest, StepwiseRowsAreThoseOfASequenceThatEndsThere) {
  for (const char* name : test::kLengthModels) {
    const ModelConfig config = LengthDependent(name);
    const RopeTable table = MakeStepwiseRopeTable(config, 3, 20);
    ASSERT_EQ(table.cos.size(0), 20);
    for (int64_t i = 0; i < 20; ++i) {
      ExpectSame({table.cos.narrow(0, i, 1), table.sin.narrow(0, i, 1)},
                 MakeRopeTable(config, 3 + i, 1, 3 + i + 1, kCpu));
    }
  }
}

}  // namespace
}  // namespace sq
