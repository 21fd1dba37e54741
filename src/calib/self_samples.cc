#include "sq/calib/self_samples.h"

#include <ATen/ops/softmax.h>

#include <random>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/base/process.h"
#include "sq/model/decoder.h"

namespace sq {
namespace {

// Sequences decoded together, so that the weights are read once for all of them. Fixed, since sums
// inside a matrix product may depend on its height.
constexpr int64_t kBatch = 32;

// Even in [0, 1): std::uniform_real_distribution differs between standard libraries.
double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

int32_t Draw(const float* probabilities, int64_t count, std::mt19937_64& random) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += probabilities[i];
  double left = Uniform(random) * total;
  int64_t last = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (probabilities[i] <= 0) continue;
    last = i;
    left -= probabilities[i];
    if (left < 0) break;
  }
  return static_cast<int32_t>(last);
}

}  // namespace

std::vector<std::vector<int32_t>> SampleFromModel(const Model& model,
                                                  const std::vector<int32_t>& prefix, int64_t count,
                                                  int64_t length, uint64_t seed,
                                                  const std::function<void(int64_t)>& progress,
                                                  const Device& device) {
  SQ_CHECK(length > static_cast<int64_t>(prefix.size()) + 1, "samples of ", length,
           " tokens are too short");
  const auto loaded = LoadModel(model, device);
  const int64_t vocabulary = model.config.vocab_size;
  std::vector<std::vector<int32_t>> samples(static_cast<size_t>(count), prefix);
  std::vector<std::mt19937_64> randoms;
  for (int64_t s = 0; s < count; ++s) {
    std::seed_seq mixed{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                        static_cast<uint32_t>(s)};
    randoms.emplace_back(mixed);
    const double first = Uniform(randoms.back()) * static_cast<double>(vocabulary);
    samples[static_cast<size_t>(s)].push_back(static_cast<int32_t>(first));
  }
  int64_t done = 0;
  for (int64_t begin = 0; begin < count; begin += kBatch) {
    const int64_t members = std::min(kBatch, count - begin);
    Decoder decoder(loaded, members, length);
    std::vector<std::vector<int32_t>> fed(samples.begin() + begin,
                                          samples.begin() + begin + members);
    while (static_cast<int64_t>(samples[static_cast<size_t>(begin)].size()) < length) {
      StopIfInterrupted();
      const at::Tensor probabilities = at::softmax(decoder.Step(fed), -1).contiguous();
      ParallelFor(members, [&](int64_t m) {
        const size_t s = static_cast<size_t>(begin + m);
        const float* row = probabilities.const_data_ptr<float>() + m * vocabulary;
        samples[s].push_back(Draw(row, vocabulary, randoms[s]));
        fed[static_cast<size_t>(m)] = {samples[s].back()};
      });
      done += members;
      if (progress) progress(done);
    }
  }
  return samples;
}

}  // namespace sq
