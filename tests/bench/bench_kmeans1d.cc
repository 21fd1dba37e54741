// Time of the exact k-means of rows of real length, on one thread: Student-t(8) weights rounded to
// fp16, lognormal sensitivities (sigma 1 and 3 in turn), 64 rows a set.
//
//   bench_kmeans1d [REPEATS]     default 5
//
// Prints, for each row length n and number of clusters k, the microseconds per row (least, median
// and most of REPEATS passes over the set), the least-weight passes per row over all points and
// over the coarse boundaries; and the time of BuildWeightedPoints alone (sorting, merging, prefix
// sums). Exits with 1 if the k-means is worse than Lloyd's iteration on the first row; the tests
// show that it is the optimum.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "sq/base/error.h"
#include "sq/quant/kmeans1d.h"
#include "tests/bench/timing.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

constexpr int kRows = 64;

std::vector<test::Row> Rows(int64_t n) {
  std::vector<test::Row> rows;
  for (uint32_t seed = 0; seed < kRows; ++seed) {
    rows.push_back(test::StudentRow(n, seed % 2 == 0 ? 1 : 3, seed));
  }
  return rows;
}

void PrintTiming(const bench::Timing& timing) {
  constexpr double kMicroseconds = 1e6 / kRows;
  std::printf(" %10.1f %10.1f %10.1f", timing.least * kMicroseconds, timing.median * kMicroseconds,
              timing.most * kMicroseconds);
}

void BenchKmeans1d(const std::vector<test::Row>& rows, int k, int repeats) {
  const int64_t n = rows[0].Size();
  Kmeans1dWorkspace workspace;
  std::vector<float> centroids(k);
  std::vector<uint8_t> index(n);
  const auto cluster = [&](const test::Row& row) {
    return Kmeans1d(row.weights.data(), row.sensitivity.data(), n, k, &workspace, centroids.data(),
                    index.data());
  };
  SQ_CHECK(cluster(rows[0]) <= test::LloydDistortion(rows[0], k, 20),
           "Kmeans1d: worse than Lloyd's iteration at n ", n, ", k ", k);
  workspace.stats = {};
  const bench::Timing timing = bench::Time(repeats, [&] {
    for (const test::Row& row : rows) cluster(row);
  });
  const double clustered = static_cast<double>(kRows) * (repeats + 1);  // with the warm-up
  std::printf("%-20s %6lld %3d", "Kmeans1d", static_cast<long long>(n), k);
  PrintTiming(timing);
  std::printf(" %8.2f %8.2f\n", static_cast<double>(workspace.stats.passes) / clustered,
              static_cast<double>(workspace.stats.coarse_passes) / clustered);
}

void BenchBuildWeightedPoints(const std::vector<test::Row>& rows, int repeats) {
  const int64_t n = rows[0].Size();
  WeightedPoints points;
  const bench::Timing timing = bench::Time(repeats, [&] {
    for (const test::Row& row : rows) {
      BuildWeightedPoints(row.weights.data(), row.sensitivity.data(), n, &points);
    }
  });
  std::printf("%-20s %6lld %3s", "BuildWeightedPoints", static_cast<long long>(n), "");
  PrintTiming(timing);
  std::printf("\n");
}

void Run(int repeats) {
  std::printf("%-20s %6s %3s %10s %10s %10s %8s %8s\n", "", "n", "k", "least us", "median us",
              "most us", "passes", "coarse");
  for (const int64_t n : {576, 1536, 4096, 11008}) {
    const std::vector<test::Row> rows = Rows(n);
    for (const int k : {8, 16}) BenchKmeans1d(rows, k, repeats);
    BenchBuildWeightedPoints(rows, repeats);
  }
}

}  // namespace
}  // namespace sq

int main(int argc, char** argv) { return sq::bench::Main(argc, argv, "bench_kmeans1d", sq::Run); }
