// Latency, throughput and memory of decoding token by token: the original's --benchmark.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sq/model/device.h"
#include "sq/model/transformer.h"

namespace sq {

struct BenchmarkOptions {
  int64_t tokens = 0;  // of each sequence; 0: no benchmark
  int64_t batch = 1;   // sequences decoded together
  bool check = false;  // also the perplexity over the tokens
  Device device;
  // Whose first evaluation windows, of `tokens` tokens, are fed; token lists (--tokens) go first.
  std::string dataset = "wikitext2";
};

// The member "benchmark" of sq-eval's report. `samples`: at least options.batch token lists, of
// which the first options.tokens tokens are fed; `source` names them. Throws sq::Error when they
// are too few or too short.
nlohmann::ordered_json Benchmark(const Model& model,
                                 const std::vector<std::vector<int32_t>>& samples,
                                 const std::string& source, const BenchmarkOptions& options);

// That member as lines for people.
std::string BenchmarkText(const nlohmann::ordered_json& benchmark);

}  // namespace sq
