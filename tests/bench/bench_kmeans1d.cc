// Time of the exact k-means for a row of real length: Student-t(8) weights rounded to fp16,
// lognormal sensitivities (sigma 1 and 3 in turn). One iteration clusters all rows of a set.
//
//   bench_kmeans1d --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
//
// us_row: microseconds a row; passes: least-weight passes over all points a row.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "sq/quant/kmeans1d.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

constexpr int kRows = 64;

// On a shared machine the least of several repetitions is what tells versions apart.
double Least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

std::vector<test::Row> Rows(int64_t n) {
  std::vector<test::Row> rows;
  for (uint32_t seed = 0; seed < kRows; ++seed) {
    rows.push_back(test::StudentRow(n, seed % 2 == 0 ? 1 : 3, seed));
  }
  return rows;
}

// A split of the first row must not be worse than Lloyd's. That it is the optimum, tests show.
void CheckAnswer(const test::Row& row, int k) {
  Kmeans1dWorkspace workspace;
  std::vector<float> centroids(k);
  std::vector<uint8_t> index(row.weights.size());
  const double objective = Kmeans1d(row.weights.data(), row.sensitivity.data(), row.Size(), k,
                                    &workspace, centroids.data(), index.data());
  if (objective > test::LloydDistortion(row, k, 20)) {
    std::fprintf(stderr, "bench_kmeans1d: worse than Lloyd's iteration\n");
    std::exit(1);
  }
}

void BM_Kmeans1d(benchmark::State& state) {
  const int64_t n = state.range(0);
  const int k = static_cast<int>(state.range(1));
  const std::vector<test::Row> rows = Rows(n);
  CheckAnswer(rows[0], k);
  Kmeans1dWorkspace workspace;
  std::vector<float> centroids(k);
  std::vector<uint8_t> index(n);
  int at = 0;
  for (auto _ : state) {
    const test::Row& row = rows[at++ % kRows];
    benchmark::DoNotOptimize(Kmeans1d(row.weights.data(), row.sensitivity.data(), n, k, &workspace,
                                      centroids.data(), index.data()));
  }
  const double clustered = static_cast<double>(state.iterations());
  state.counters["passes"] = static_cast<double>(workspace.stats.passes) / clustered;
  state.counters["coarse"] = static_cast<double>(workspace.stats.coarse_passes) / clustered;
}
BENCHMARK(BM_Kmeans1d)
    ->ArgsProduct({{576, 1536, 4096, 11008}, {8, 16}})
    ->ArgNames({"n", "k"})
    ->Unit(benchmark::kMicrosecond)
    ->ComputeStatistics("min", Least);

// The part that sorts, merges and sums up.
void BM_BuildWeightedPoints(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<test::Row> rows = Rows(n);
  WeightedPoints points;
  int at = 0;
  for (auto _ : state) {
    const test::Row& row = rows[at++ % kRows];
    BuildWeightedPoints(row.weights.data(), row.sensitivity.data(), n, &points);
    benchmark::DoNotOptimize(points.second_moment);
  }
}
BENCHMARK(BM_BuildWeightedPoints)
    ->ArgsProduct({{576, 1536, 4096, 11008}})
    ->ArgName("n")
    ->Unit(benchmark::kMicrosecond)
    ->ComputeStatistics("min", Least);

}  // namespace
}  // namespace sq

BENCHMARK_MAIN();
