// Configurations as they were published, by transformers and by makers of models: all are taken as
// they stand, but for those that are computed in another way than here.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/checkpoint/model_config.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The lines of configs.jsonl; tests/golden/README.md tells what is in them.
std::vector<Json> Published() {
  std::istringstream lines(ReadFile(SQ_GOLDEN_DIR "/configs/configs.jsonl", 1 << 20));
  std::vector<Json> published;
  for (std::string line; std::getline(lines, line);) {
    published.push_back(ParseJson(line, "configs.jsonl"));
  }
  return published;
}

const char* ActivationName(Activation activation) {
  switch (activation) {
    case Activation::kSilu: return "silu";
    case Activation::kRelu: return "relu";
    case Activation::kGelu: return "gelu";
    case Activation::kGeluTanh: return "gelu_tanh";
  }
  return "";
}

// By the names that configs.jsonl has for transformers' values.
Json Summary(const ModelConfig& config) {
  Json windows = Json::array();
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    windows.push_back(config.AttentionWindow(layer));
  }
  return {{"layers", config.num_layers},
          {"hidden", config.hidden_size},
          {"intermediate", config.intermediate_size},
          {"heads", config.num_heads},
          {"kv_heads", config.num_kv_heads},
          {"head_dim", config.head_dim},
          {"vocabulary", config.vocab_size},
          {"positions", config.max_positions},
          {"activation", ActivationName(config.activation)},
          {"tied", config.tie_word_embeddings},
          {"bos", config.bos_token_id},
          {"eos", config.eos_token_ids},
          {"first_window", windows.front()},
          {"last_window", windows.back()}};
}

TEST(PublishedConfigsTest, AreTakenAsTransformersTakesThem) {
  int taken = 0;
  for (const Json& line : Published()) {
    if (!line.contains("transformers")) continue;
    const std::string name =
        line["name"].get<std::string>() + ", " + line["source"].get<std::string>();
    ModelConfig config;
    const std::string message =
        test::MessageOf([&] { config = ParseModelConfig(line["config"].dump(), "config.json"); });
    ASSERT_EQ(message, "") << name;
    EXPECT_EQ(Summary(config), line["transformers"]) << name;
    ++taken;
  }
  EXPECT_GE(taken, 60);
}

TEST(PublishedConfigsTest, AreRefusedByTheFieldThatIsNotComputed) {
  int refused = 0;
  for (const Json& line : Published()) {
    if (!line.contains("refused")) continue;
    const std::string message =
        test::MessageOf([&] { ParseModelConfig(line["config"].dump(), "config.json"); });
    EXPECT_THAT(message, StartsWith("config.json: ")) << line["name"];
    EXPECT_THAT(message, HasSubstr("\"" + line["refused"].get<std::string>() + "\""))
        << line["name"];
    ++refused;
  }
  EXPECT_GE(refused, 3);
}

TEST(PublishedConfigsTest, EachHasOneExpectation) {
  for (const Json& line : Published()) {
    EXPECT_NE(line.contains("transformers"), line.contains("refused")) << line["name"];
    EXPECT_FALSE(line["source"].get<std::string>().empty()) << line["name"];
  }
}

}  // namespace
}  // namespace sq
