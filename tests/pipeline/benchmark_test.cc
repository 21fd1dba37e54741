#include "sq/pipeline/benchmark.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sq/eval/perplexity.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

TEST(BenchmarkTest, ChecksThePerplexityOfWholeWindows) {
  const test::GoldenModel golden("llama-head-dim-fp16");
  const Model model = OpenModel(golden.folder);
  BenchmarkOptions options;
  options.tokens = 12;
  options.batch = 2;
  options.check = true;
  const Json report = Benchmark(model, golden.Sequences(), "tokens.json", options);
  auto windows = golden.Sequences();
  windows.resize(2);
  for (auto& window : windows) window.resize(12);
  const double expected = Perplexity(EvaluateWindows(model, windows, {}));
  EXPECT_NEAR(report["perplexity"].get<double>(), expected, 1e-5 * expected);
  EXPECT_EQ(report["dataset"], "tokens.json");
  EXPECT_EQ(report["tokens"], 12);
  EXPECT_EQ(report["batch"], 2);
  const double median = report["median_seconds_per_token"], p95 = report["p95_seconds_per_token"];
  EXPECT_GT(median, 0);
  EXPECT_GE(p95, median);
  // 24 tokens in 12 steps, of which half take the median at least.
  EXPECT_LE(report["tokens_per_second"].get<double>(), 24 / (6 * median));
  EXPECT_GT(report["tokens_per_second"].get<double>(), 0);
  EXPECT_GT(report["peak_memory_bytes"].get<int64_t>(), int64_t{1} << 20);
  EXPECT_GE(report["load_seconds"].get<double>(), 0);
  const double bytes = report["weight_bytes_per_token"];
  EXPECT_DOUBLE_EQ(report["weight_bytes_per_second"].get<double>(), bytes / median);
  EXPECT_DOUBLE_EQ(report["bandwidth_share"].get<double>(),
                   bytes / median / report["memory_bandwidth_bytes_per_second"].get<double>());
}

TEST(BenchmarkTest, PerplexityOnlyWhenAskedFor) {
  const test::GoldenModel golden("llama-mha-fp16");
  BenchmarkOptions options;
  options.tokens = 3;
  const Json report = Benchmark(OpenModel(golden.folder), golden.Sequences(), "x", options);
  EXPECT_FALSE(report.contains("perplexity"));
  EXPECT_THAT(BenchmarkText(report), HasSubstr("benchmark: 3 tokens of x, batch 1: median "));
}

TEST(BenchmarkTest, TooFewTokensAreNamed) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model model = OpenModel(golden.folder);
  BenchmarkOptions options;
  options.tokens = 17;
  options.batch = 3;
  EXPECT_THAT(
      test::MessageOf([&] { Benchmark(model, golden.Sequences(), "tokens.json", options); }),
      HasSubstr("tokens.json: sequence 2: expected at least 17 tokens to decode, found 16"));
  options.batch = 4;
  EXPECT_THAT(
      test::MessageOf([&] { Benchmark(model, golden.Sequences(), "tokens.json", options); }),
      HasSubstr("tokens.json: expected at least 4 sequences for a batch of as many, found 3"));
}

TEST(BenchmarkTest, TextHasEveryFigure) {
  const Json report = {{"dataset", "wikitext2"},
                       {"tokens", 128},
                       {"batch", 1},
                       {"tokens_per_second", 50.0},
                       {"median_seconds_per_token", 0.0195},
                       {"p95_seconds_per_token", 0.025},
                       {"load_seconds", 1.25},
                       {"peak_memory_bytes", 3 << 20},
                       {"weight_bytes_per_token", 2 << 20},
                       {"weight_bytes_per_second", 1.5e9},
                       {"memory_bandwidth_bytes_per_second", 6e9},
                       {"bandwidth_share", 0.25},
                       {"perplexity", 12.34567}};
  EXPECT_EQ(BenchmarkText(report),
            "benchmark: 128 tokens of wikitext2, batch 1: median 19.500 ms, p95 25.000 ms a token; "
            "50.0 tokens/s\n"
            "  loaded in 1.2 s; peak memory 3.0 MiB\n"
            "  2.0 MiB of weights a token: 1.50 GB/s of the 6.00 GB/s that memory gives (25 %)\n"
            "  perplexity 12.3457\n");
}

}  // namespace
}  // namespace sq
