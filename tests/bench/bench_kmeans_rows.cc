// Clusters rows from a file, for scripts/compare_kmeans.py: the same rows, another program's
// k-means.
//
//   bench_kmeans_rows ROWS N K REPEATS IN OUT
//
// IN: ROWS*N fp32 weights, then as many sensitivities. OUT: ROWS*K fp32 centroids.
// Prints one line: the least microseconds of processor time a row over REPEATS runs, and passes a
// row.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <limits>
#include <vector>

#include "sq/base/error.h"
#include "sq/quant/kmeans1d.h"

namespace sq {
namespace {

void Run(int64_t rows, int64_t n, int k, int repeats, const char* in, const char* out) {
  SQ_CHECK(rows > 0 && n > 0 && k > 0 && k <= kMaxClusters && repeats > 0,
           "bench_kmeans_rows: expected positive ROWS, N, REPEATS and K up to ", kMaxClusters);
  std::vector<float> values(CheckedMultiply(2, CheckedMultiply(rows, n, in), in));
  const std::streamsize bytes = static_cast<std::streamsize>(values.size() * sizeof(float));
  std::ifstream input(in, std::ios::binary);
  input.read(reinterpret_cast<char*>(values.data()), bytes);
  SQ_CHECK(input.gcount() == bytes, in, ": expected ", bytes, " bytes, found ", input.gcount());

  Kmeans1dWorkspace workspace;
  std::vector<float> centroids(rows * k);
  std::vector<uint8_t> index(n);
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const std::clock_t start = std::clock();
    for (int64_t row = 0; row < rows; ++row) {
      const float* weights = values.data() + row * n;
      Kmeans1d(weights, weights + rows * n, n, k, &workspace, centroids.data() + row * k,
               index.data());
    }
    const double spent = 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    least = std::min(least, spent / static_cast<double>(rows));
  }
  std::ofstream output(out, std::ios::binary);
  output.write(reinterpret_cast<const char*>(centroids.data()),
               static_cast<std::streamsize>(centroids.size() * sizeof(float)));
  SQ_CHECK(output.good(), out, ": cannot write");
  std::printf("%.3f %.3f\n", least,
              static_cast<double>(workspace.stats.passes) / static_cast<double>(rows * repeats));
}

}  // namespace
}  // namespace sq

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: bench_kmeans_rows ROWS N K REPEATS IN OUT\n");
    return 2;
  }
  try {
    sq::Run(std::atoll(argv[1]), std::atoll(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]),
            argv[5], argv[6]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
