#include "sq/base/memory_bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/base/resource_limits.h"
#include "sq/base/stopwatch.h"

namespace sq {
namespace {

constexpr int64_t kMinBytes = int64_t{256} << 20;
constexpr int64_t kMaxBytes = int64_t{1} << 30;
constexpr int64_t kCacheMultiple = 2;
constexpr int64_t kBlockWords = int64_t{1} << 17;  // 1 MiB, the work of one loop item
constexpr int kPasses = 3;

int64_t BufferBytes() {
  const int64_t cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  const int64_t wanted = std::clamp(kCacheMultiple * cache, kMinBytes, kMaxBytes);
  return std::max(std::min(wanted, AvailableBytes() / 4 * 3), kBlockWords * 8);
}

// Eight independent sums hide the latency of the additions.
uint64_t Sum(const uint64_t* words) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < kBlockWords; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : sums) sum += lane;
  return sum;
}

}  // namespace

double ReadBandwidth() {
  const int64_t blocks = BufferBytes() / (8 * kBlockWords);
  std::vector<uint64_t> buffer, sums;
  try {
    buffer.resize(static_cast<size_t>(blocks * kBlockWords));
    sums.resize(static_cast<size_t>(blocks));
  } catch (const std::bad_alloc&) {
    throw Error(StrCat("no room for the ", 8 * blocks * kBlockWords,
                       " bytes that memory bandwidth is measured with"));
  }
  // Writing gives every page memory of its own; untouched pages may all map to one page of zeros.
  ParallelFor(blocks, [&](int64_t block) {
    std::fill_n(buffer.data() + block * kBlockWords, kBlockWords, uint64_t{1});
  });
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Stopwatch watch;
    ParallelFor(blocks, [&](int64_t block) {
      sums[static_cast<size_t>(block)] = Sum(buffer.data() + block * kBlockWords);
    });
    const double seconds = watch.Seconds();
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    // Also keeps the compiler from removing the sums.
    SQ_CHECK(total == static_cast<uint64_t>(blocks * kBlockWords),
             "memory does not hold what was written to it");
    best = std::max(best, static_cast<double>(8 * blocks * kBlockWords) / seconds);
  }
  return best;
}

}  // namespace sq
