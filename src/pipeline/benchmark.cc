#include "sq/pipeline/benchmark.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sq/base/error.h"
#include "sq/base/memory_bandwidth.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/eval/decoding_speed.h"
#include "sq/eval/perplexity.h"
#include "sq/kernels/cuda_device.h"
#include "sq/pipeline/progress.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;
using TokenLists = std::vector<std::vector<int32_t>>;

TokenLists FirstTokens(const TokenLists& samples, const std::string& source,
                       const BenchmarkOptions& options) {
  SQ_CHECK(static_cast<int64_t>(samples.size()) >= options.batch, source, ": expected at least ",
           options.batch, " sequences for a batch of as many, found ", samples.size());
  TokenLists sequences;
  for (int64_t s = 0; s < options.batch; ++s) {
    const auto& sample = samples[static_cast<size_t>(s)];
    SQ_CHECK(static_cast<int64_t>(sample.size()) >= options.tokens, source, ": sequence ", s,
             ": expected at least ", options.tokens, " tokens to decode, found ", sample.size());
    sequences.emplace_back(sample.begin(), sample.begin() + options.tokens);
  }
  return sequences;
}

}  // namespace

Json Benchmark(const Model& model, const TokenLists& samples, const std::string& source,
               const BenchmarkOptions& options) {
  const TokenLists ids = FirstTokens(samples, source, options);
  const Stopwatch loading;
  auto loaded = LoadModel(model, options.device);
  const double load_seconds = loading.Seconds();
  Progress progress("benchmark", "token", options.tokens);
  const DecodingSpeed speed = MeasureDecoding(loaded, ids, options.check, [&](int64_t done) {
    progress.Update(done);
    StopIfInterrupted();
  });
  const double total = std::accumulate(speed.seconds.begin(), speed.seconds.end(), 0.0);
  const double median = Quantile(speed.seconds, 0.5);
  const double bytes = static_cast<double>(loaded->StepBytes());
  const bool on_device = options.device.cuda;
  const int64_t peak_bytes = PeakResidentBytes();
  const int64_t peak_device_bytes = on_device ? CudaMemoryInUse().peak : 0;
  loaded.reset();  // the bandwidth is measured on a large buffer
  const double bandwidth = on_device ? CudaReadBandwidth() : ReadBandwidth();
  Json result = {{"dataset", source},
                 {"tokens", options.tokens},
                 {"batch", options.batch},
                 {"tokens_per_second", static_cast<double>(options.tokens * options.batch) / total},
                 {"median_seconds_per_token", median},
                 {"p95_seconds_per_token", Quantile(speed.seconds, 0.95)},
                 {"load_seconds", load_seconds},
                 {"peak_memory_bytes", peak_bytes},
                 {"weight_bytes_per_token", static_cast<int64_t>(bytes)},
                 {"weight_bytes_per_second", bytes / median},
                 {"memory_bandwidth_bytes_per_second", bandwidth},
                 {"bandwidth_share", bytes / median / bandwidth}};
  if (on_device) result["peak_device_memory_bytes"] = peak_device_bytes;
  if (options.check) {
    WindowLosses losses;
    losses.nll = speed.nll;
    result["perplexity"] = Perplexity(losses);
    SQ_CHECK(std::isfinite(result["perplexity"].get<double>()), model.folder,
             ": the perplexity on ", source, " is not finite");
  }
  return result;
}

std::string BenchmarkText(const Json& benchmark) {
  const auto number = [&](const char* key) { return benchmark[key].get<double>(); };
  const auto format = [](const char* text, double value) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, text, value);
    return std::string(buffer);
  };
  const int64_t on_device = benchmark.value("peak_device_memory_bytes", int64_t{0});
  std::string text =
      StrCat("benchmark: ", benchmark["tokens"].get<int64_t>(), " tokens of ",
             benchmark["dataset"].get<std::string>(), ", batch ", benchmark["batch"].get<int64_t>(),
             format(": median %.3f ms", 1e3 * number("median_seconds_per_token")),
             format(", p95 %.3f ms a token", 1e3 * number("p95_seconds_per_token")),
             format("; %.1f tokens/s\n", number("tokens_per_second")), "  loaded in ",
             SecondsText(number("load_seconds")), "; peak memory ",
             BytesText(benchmark["peak_memory_bytes"].get<int64_t>()),
             on_device > 0 ? StrCat(", of the device ", BytesText(on_device)) : "", "\n  ",
             BytesText(benchmark["weight_bytes_per_token"].get<int64_t>()),
             format(" of weights a token: %.2f GB/s", 1e-9 * number("weight_bytes_per_second")),
             format(" of the %.2f GB/s that memory gives",
                    1e-9 * number("memory_bandwidth_bytes_per_second")),
             format(" (%.0f %%)\n", 100 * number("bandwidth_share")));
  if (benchmark.contains("perplexity")) {
    text += format("  perplexity %.4f\n", number("perplexity"));
  }
  return text;
}

}  // namespace sq
