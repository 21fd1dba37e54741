#include "sq/checkpoint/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/output_file.h"
#include "sq/checkpoint/architecture.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The fields that a file must have, as LLaMA-7B has them.
nlohmann::json Minimal() {
  return {{"model_type", "llama"},   {"hidden_size", 4096},       {"intermediate_size", 11008},
          {"num_hidden_layers", 32}, {"num_attention_heads", 32}, {"vocab_size", 32000}};
}

// Minimal() with one field set to a JSON text, or removed where that is empty.
std::string With(const std::string& field, const std::string& value) {
  nlohmann::json json = Minimal();
  if (value.empty()) {
    json.erase(field);
  } else {
    // As text: the value may be one that dump() has no word for.
    json[field] = "VALUE";
    std::string text = json.dump();
    return text.replace(text.find("\"VALUE\""), 7, value);
  }
  return json.dump();
}

ModelConfig Parse(const std::string& text) { return ParseModelConfig(text, "config.json"); }
std::string Refusal(const std::string& text) {
  const std::string message = MessageOf([&] { Parse(text); });
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  return message;
}

TEST(ModelConfigTest, FillsInWhatOldFilesLeaveOut) {
  const ModelConfig config = Parse(Minimal().dump());
  EXPECT_STREQ(config.architecture->model_type, "llama");
  EXPECT_EQ(config.hidden_size, 4096);
  EXPECT_EQ(config.intermediate_size, 11008);
  EXPECT_EQ(config.num_layers, 32);
  EXPECT_EQ(config.num_heads, 32);
  EXPECT_EQ(config.num_kv_heads, 32);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.vocab_size, 32000);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_EQ(config.rope.scaling, Rope::Scaling::kNone);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_FALSE(config.attention_out_bias);
  EXPECT_FALSE(config.mlp_bias);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
  EXPECT_EQ(config.quantized_bits, 0);
}

TEST(ModelConfigTest, ReadsEveryFieldThatIsThere) {
  nlohmann::json json = Minimal();
  json.update({{"num_key_value_heads", 8},
               {"head_dim", 64},
               {"max_position_embeddings", 131072},
               {"rms_norm_eps", 1e-5},
               {"tie_word_embeddings", true},
               {"attention_bias", true},
               {"mlp_bias", true},
               {"hidden_act", "silu"},
               {"bos_token_id", 128000},
               {"eos_token_id", {128001, 128008}},
               {"quantization_config", {{"quant_method", "squeezellm"}, {"bits", 3}}}});
  const ModelConfig config = Parse(json.dump());
  EXPECT_EQ(config.num_kv_heads, 8);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_positions, 131072);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.attention_out_bias);
  EXPECT_TRUE(config.mlp_bias);
  EXPECT_EQ(config.bos_token_id, 128000);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(128001, 128008));
  EXPECT_EQ(config.quantized_bits, 3);
}

TEST(ModelConfigTest, TakesNullForAFieldThatIsNotThere) {
  for (const char* field :
       {"num_key_value_heads", "head_dim", "rope_scaling", "rope_parameters", "rope_theta",
        "bos_token_id", "eos_token_id", "quantization_config", "attention_bias", "hidden_act"}) {
    EXPECT_EQ(Refusal(With(field, "null")), "") << field;
  }
}

TEST(ModelConfigTest, TakesZerosAndMinusOneForNone) {
  for (const char* field : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    EXPECT_EQ(Refusal(With(field, "0")), "") << field;
    EXPECT_THAT(Refusal(With(field, "8")), HasSubstr("not supported: expected null, found 8"));
  }
  EXPECT_EQ(Parse(With("bos_token_id", "-1")).bos_token_id, -1);
  EXPECT_THAT(Parse(With("eos_token_id", "-1")).eos_token_ids, IsEmpty());
  EXPECT_THAT(Parse(With("eos_token_id", "null")).eos_token_ids, IsEmpty());
  EXPECT_THAT(Parse(With("eos_token_id", "[7, -1]")).eos_token_ids, ElementsAre(7));
}

TEST(ModelConfigTest, TakesNumbersThatAreNotFiniteWhereNobodyReadsThem) {
  for (const char* value : {"NaN", "Infinity", "-Infinity", "[1, NaN]"}) {
    EXPECT_EQ(Parse(With("initializer_range", value)).hidden_size, 4096) << value;
  }
}

TEST(ModelConfigTest, PassesOverAFieldWhenTold) {
  const std::string text = With("rope_interleave", "true");
  EXPECT_NE(Refusal(text), "");
  EXPECT_EQ(ParseModelConfig(text, "config.json", {"other", "rope_interleave"}).hidden_size, 4096);
  // What is ignored is not there, be it known or not.
  EXPECT_EQ(
      ParseModelConfig(With("num_key_value_heads", "8"), "c", {"num_key_value_heads"}).num_kv_heads,
      32);
  const std::string quantized =
      With("quantization_config", R"({"quant_method": "squeezellm", "bits": 4, "new": 1})");
  EXPECT_EQ(ParseModelConfig(quantized, "c", {"quantization_config.new"}).quantized_bits, 4);
  EXPECT_EQ(ParseModelConfig(quantized, "c", {"quantization_config"}).quantized_bits, 0);
}

TEST(ModelConfigTest, HeadDimNeedNotDivideTheWidth) {
  nlohmann::json json = Minimal();
  json["num_attention_heads"] = 24;
  EXPECT_EQ(
      Refusal(json.dump()),
      "config.json: \"num_attention_heads\": expected a divisor of hidden_size 4096, found 24");
  json["head_dim"] = 128;
  EXPECT_EQ(Parse(json.dump()).head_dim, 128);
}

TEST(ModelConfigTest, NamesFileFieldExpectedAndFound) {
  const struct {
    const char *field, *value, *message;
  } cases[] = {
      {"model_type", "", "no \"model_type\""},
      {"model_type", "1", "\"model_type\": expected a string, found an integer"},
      {"model_type", "\"mamba\"",
       "\"model_type\": not supported: expected one of llama, mistral, ministral, qwen2, qwen3, "
       "phi3, "
       "opt, found "
       "\"mamba\""},
      {"hidden_size", "", "no \"hidden_size\""},
      {"hidden_size", "null", "\"hidden_size\": expected an integer, found null"},
      {"hidden_size", "\"4096\"", "\"hidden_size\": expected an integer, found a string"},
      {"hidden_size", "4096.0", "\"hidden_size\": expected an integer, found a fraction"},
      {"hidden_size", "[4096]", "\"hidden_size\": expected an integer, found an array"},
      {"hidden_size", "0", "\"hidden_size\": expected 1 to 1048576, found 0"},
      {"hidden_size", "-4096", "\"hidden_size\": expected 1 to 1048576, found -4096"},
      {"hidden_size", "1e30", "\"hidden_size\": expected an integer, found a fraction"},
      {"hidden_size", "9223372036854775807",
       "\"hidden_size\": expected 1 to 1048576, found 9223372036854775807"},
      {"hidden_size", "18446744073709551615",
       "\"hidden_size\": 18446744073709551615 does not fit 64 bits"},
      {"intermediate_size", "", "no \"intermediate_size\""},
      {"intermediate_size", "1048577",
       "\"intermediate_size\": expected 1 to 1048576, found 1048577"},
      {"num_hidden_layers", "", "no \"num_hidden_layers\""},
      {"num_hidden_layers", "4097", "\"num_hidden_layers\": expected 1 to 4096, found 4097"},
      {"num_attention_heads", "", "no \"num_attention_heads\""},
      {"num_attention_heads", "0", "\"num_attention_heads\": expected 1 to 65536, found 0"},
      {"num_attention_heads", "31",
       "\"num_attention_heads\": expected a divisor of hidden_size 4096, found 31"},
      {"num_attention_heads", "4096", "\"head_dim\": expected an even number, found 1"},
      {"num_key_value_heads", "0", "\"num_key_value_heads\": expected 1 to 32, found 0"},
      {"num_key_value_heads", "33", "\"num_key_value_heads\": expected 1 to 32, found 33"},
      {"num_key_value_heads", "5", "\"num_key_value_heads\": expected a divisor of 32, found 5"},
      {"head_dim", "0", "\"head_dim\": expected 1 to 65536, found 0"},
      {"head_dim", "127", "\"head_dim\": expected an even number, found 127"},
      {"vocab_size", "", "no \"vocab_size\""},
      {"vocab_size", "16777217", "\"vocab_size\": expected 1 to 16777216, found 16777217"},
      {"max_position_embeddings", "0",
       "\"max_position_embeddings\": expected 1 to 4294967296, found 0"},
      {"rms_norm_eps", "0", "\"rms_norm_eps\": expected a positive number, found 0"},
      {"rms_norm_eps", "-1e-5", "\"rms_norm_eps\": expected a positive number, found -1e-05"},
      {"rms_norm_eps", "1e300", "\"rms_norm_eps\": expected a positive number, found 1e+300"},
      {"rms_norm_eps", "\"1e-5\"", "\"rms_norm_eps\": expected a number, found a string"},
      {"rope_theta", "0", "\"rope_theta\": expected a positive number, found 0"},
      {"tie_word_embeddings", "1",
       "\"tie_word_embeddings\": expected true or false, found an integer"},
      {"attention_bias", "\"yes\"", "\"attention_bias\": expected true or false, found a string"},
      {"mlp_bias", "0", "\"mlp_bias\": expected true or false, found an integer"},
      {"hidden_act", "\"mish\"",
       "\"hidden_act\": not supported: expected silu, relu, gelu or gelu_new, found \"mish\""},
      {"bos_token_id", "-2", "\"bos_token_id\": expected token ids, found -2"},
      {"bos_token_id", "true", "\"bos_token_id\": expected token ids, found true"},
      {"bos_token_id", "2147483648", "\"bos_token_id\": expected token ids, found 2147483648"},
      {"eos_token_id", "[2, \"x\"]", "\"eos_token_id\": expected token ids, found \"x\""},
      {"eos_token_id", "[[2]]", "\"eos_token_id\": expected token ids, found an array"},
      {"eos_token_id", "{}", "\"eos_token_id\": expected token ids, found an object"},
      {"quantization_config", "[1]", "\"quantization_config\": expected an object, found an array"},
      {"quantization_config", "{\"bits\":4}", "\"quantization_config\": no \"quant_method\""},
      {"quantization_config", "{\"quant_method\":\"gptq\",\"bits\":4}",
       "\"quantization_config\": quantization method not supported: expected squeezellm, found "
       "\"gptq\""},
      {"quantization_config", "{\"quant_method\":\"squeezellm\"}",
       "\"quantization_config\": no \"bits\""},
      {"quantization_config", "{\"quant_method\":\"squeezellm\",\"bits\":8}",
       "\"quantization_config\": \"bits\": expected 2 to 4, found 8"},
      {"quantization_config", "{\"quant_method\":\"squeezellm\",\"bits\":4,\"head_bits\":8}",
       "\"quantization_config\": \"head_bits\": not known, and may change what is computed: found "
       "8; --ignore-config-field quantization_config.head_bits passes it over"},
      {"rope_interleave", "true",
       "\"rope_interleave\": not known, and may change what is computed: found true; "
       "--ignore-config-field rope_interleave passes it over"},
      {"rms_norm_eps", "NaN", "\"rms_norm_eps\": expected a number, found NaN"},
      {"vocab_size", "Infinity", "\"vocab_size\": expected an integer, found Infinity"},
      {"mlp_bias", "NaN", "\"mlp_bias\": expected true or false, found NaN"},
      {"eos_token_id", "[NaN]", "\"eos_token_id\": expected token ids, found NaN"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Refusal(With(c.field, c.value)), std::string("config.json: ") + c.message)
        << c.field << ": " << c.value;
  }
}

TEST(ModelConfigTest, RefusesTextThatIsNoConfiguration) {
  EXPECT_THAT(Refusal(""), StartsWith("config.json: not valid JSON"));
  EXPECT_THAT(Refusal("{\"model_type\": \"llama\""), StartsWith("config.json: not valid JSON"));
  EXPECT_EQ(Refusal("[]"), "config.json: expected an object with \"model_type\", found an array");
  EXPECT_EQ(Refusal("null"), "config.json: expected an object with \"model_type\", found null");
  EXPECT_THAT(Refusal(With("rms_norm_eps", "1").replace(2, 1, "\xff")),
              StartsWith("config.json: not valid JSON"));
  EXPECT_THAT(Refusal("{\"rms_norm_eps\": 1e999}"), StartsWith("config.json: not valid JSON"));
}

struct Golden {
  const char* name;
  int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  double theta;
};
class ModelConfigGolden : public ::testing::TestWithParam<Golden> {};
INSTANTIATE_TEST_SUITE_P(
    ModelConfig, ModelConfigGolden,
    ::testing::Values(Golden{"llama-mha-fp16", 64, 96, 2, 4, 4, 16, 128, 10000},
                      Golden{"llama-gqa-tied-fp32", 32, 64, 3, 4, 2, 8, 128, 100000},
                      Golden{"llama3-rope-bf16", 32, 64, 2, 2, 1, 16, 128, 10000},
                      Golden{"llama-head-dim-fp16", 32, 64, 2, 2, 1, 32, 160, 500000},
                      Golden{"llama-sharded-bf16", 32, 64, 2, 4, 4, 8, 128, 10000}),
    [](const auto& info) {
      std::string name = info.param.name;
      for (char& c : name) c = c == '-' ? '_' : c;
      return name;
    });

TEST_P(ModelConfigGolden, IsReadAsItWasWritten) {
  const Golden& golden = GetParam();
  const ModelConfig config = ReadModelConfig(std::string(SQ_GOLDEN_DIR "/models/") + golden.name);
  EXPECT_EQ(config.hidden_size, golden.hidden);
  EXPECT_EQ(config.intermediate_size, golden.intermediate);
  EXPECT_EQ(config.num_layers, golden.layers);
  EXPECT_EQ(config.num_heads, golden.heads);
  EXPECT_EQ(config.num_kv_heads, golden.kv_heads);
  EXPECT_EQ(config.head_dim, golden.head_dim);
  EXPECT_EQ(config.vocab_size, golden.vocab);
  EXPECT_EQ(config.rope.theta, golden.theta);
  const bool llama3 = std::string(golden.name) == "llama3-rope-bf16";
  EXPECT_EQ(config.rope.scaling, llama3 ? Rope::Scaling::kLlama3 : Rope::Scaling::kNone);
  EXPECT_EQ(config.rope.original_max_positions, llama3 ? 32 : 8192);
  EXPECT_EQ(config.tie_word_embeddings,
            llama3 || std::string(golden.name) == "llama-gqa-tied-fp32");
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
  EXPECT_EQ(config.quantized_bits, 0);
}

TEST(ModelConfigTest, GenerationConfigSaysWhereTextEnds) {
  const std::string folder = test::ScratchFolder();
  WriteFile(folder + "/config.json", With("eos_token_id", "2"));
  EXPECT_THAT(ReadModelConfig(folder).eos_token_ids, ElementsAre(2));
  const std::string generation = folder + "/generation_config.json";
  WriteFile(generation, "{\"temperature\": 1}");
  EXPECT_THAT(ReadModelConfig(folder).eos_token_ids, ElementsAre(2));
  WriteFile(generation, "{\"eos_token_id\": [5, 6]}");
  EXPECT_THAT(ReadModelConfig(folder).eos_token_ids, ElementsAre(5, 6));
  WriteFile(generation, "{\"eos_token_id\": \"</s>\"}");
  EXPECT_EQ(MessageOf([&] { ReadModelConfig(folder); }),
            generation + ": \"eos_token_id\": expected token ids, found \"</s>\"");
  WriteFile(generation, "[5]");
  EXPECT_EQ(MessageOf([&] { ReadModelConfig(folder); }),
            generation + ": expected an object, found an array");
}

TEST(ModelConfigTest, NamesAFolderThatIsNoModel) {
  const std::string folder = test::ScratchFolder();
  EXPECT_EQ(MessageOf([&] { ReadModelConfig(folder + "/none"); }),
            folder + "/none: no such folder");
  EXPECT_EQ(MessageOf([&] { ReadModelConfig(folder); }), folder + "/config.json: no such file");
  WriteFile(folder + "/config.json", With("vocab_size", "0"));
  EXPECT_EQ(MessageOf([&] { ReadModelConfig(folder); }),
            folder + "/config.json: \"vocab_size\": expected 1 to 16777216, found 0");
}

// Published models, where SQ_DATA_DIR has them.
class ModelConfigPublished : public ::testing::Test {
 protected:
  // Empty without the variable.
  std::string Folder(const std::string& name) {
    const char* data = std::getenv("SQ_DATA_DIR");
    return data == nullptr ? "" : std::string(data) + "/models/" + name;
  }
  void ExpectSevenBillion(const std::string& name, double epsilon, int64_t positions,
                          int64_t vocab) {
    const std::string folder = Folder(name);
    if (folder.empty()) GTEST_SKIP() << "SQ_DATA_DIR is not set";
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
    const ModelConfig config = ReadModelConfig(folder);
    EXPECT_EQ(config.hidden_size, 4096);
    EXPECT_EQ(config.intermediate_size, 11008);
    EXPECT_EQ(config.num_layers, 32);
    EXPECT_EQ(config.num_heads, 32);
    EXPECT_EQ(config.num_kv_heads, 32);
    EXPECT_EQ(config.head_dim, 128);
    EXPECT_EQ(config.norm_epsilon, epsilon);
    EXPECT_EQ(config.max_positions, positions);
    EXPECT_EQ(config.vocab_size, vocab);
    EXPECT_EQ(config.rope.scaling, Rope::Scaling::kNone);
  }
};

TEST_F(ModelConfigPublished, Llama2) { ExpectSevenBillion("llama-2-7b", 1e-5, 2048, 32000); }
TEST_F(ModelConfigPublished, Vicuna) { ExpectSevenBillion("vicuna-7b-v1.3", 1e-6, 2048, 32000); }
TEST_F(ModelConfigPublished, XGen) { ExpectSevenBillion("xgen-7b-8k-base", 1e-6, 8192, 51200); }

TEST_F(ModelConfigPublished, Opt) {
  const std::string folder = Folder("opt-1.3b");
  if (folder.empty()) GTEST_SKIP() << "SQ_DATA_DIR is not set";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const ModelConfig config = ReadModelConfig(folder);
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.intermediate_size, 8192);
  EXPECT_EQ(config.num_layers, 24);
  EXPECT_EQ(config.num_heads, 32);
  EXPECT_EQ(config.num_kv_heads, 32);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.vocab_size, 50272);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(config.qkv_bias && config.attention_out_bias && config.mlp_bias);
}

}  // namespace
}  // namespace sq
