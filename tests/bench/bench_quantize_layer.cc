// Time to quantize the seven matrices of one decoder layer of SmolLM2-135M (30 such layers make the
// model), on all threads, wall clock.
//
//   bench_quantize_layer --benchmark_repetitions=5
//
// rows: rows clustered a second.

#include <benchmark/benchmark.h>

#include <vector>

#include "sq/quant/quantize_layer.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

struct Matrix {
  int64_t rows, cols;
  std::vector<float> weights, fisher;
};

Matrix RandomMatrix(int64_t rows, int64_t cols) {
  Matrix matrix{rows, cols, {}, {}};
  for (int64_t row = 0; row < rows; ++row) {
    const test::Row made = test::StudentRow(cols, 1.5, static_cast<uint32_t>(row));
    matrix.weights.insert(matrix.weights.end(), made.weights.begin(), made.weights.end());
    matrix.fisher.insert(matrix.fisher.end(), made.sensitivity.begin(), made.sensitivity.end());
  }
  return matrix;
}

void BM_QuantizeDecoderLayer(benchmark::State& state) {
  constexpr int64_t kHidden = 576, kKeys = 192, kInner = 1536;
  const Matrix square = RandomMatrix(kHidden, kHidden), narrow = RandomMatrix(kKeys, kHidden);
  const Matrix up = RandomMatrix(kInner, kHidden), down = RandomMatrix(kHidden, kInner);
  const std::vector<const Matrix*> layer = {&square, &narrow, &narrow, &square, &up, &up, &down};
  QuantizeOptions options;
  options.bits = static_cast<int>(state.range(0));
  options.outliers = SparsityLevels(0.45);
  options.dense_distortion_rows = state.range(1) != 0 ? 64 : 0;
  int64_t rows = 0;
  for (auto _ : state) {
    for (const Matrix* matrix : layer) {
      const QuantizedLayer made =
          QuantizeLayer({matrix->weights.data(), matrix->rows, matrix->cols},
                        {matrix->fisher.data(), matrix->rows, matrix->cols}, options, "matrix");
      benchmark::DoNotOptimize(made.layer.qweight.data());
      rows += matrix->rows;
    }
  }
  state.counters["rows"] =
      benchmark::Counter(static_cast<double>(rows), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_QuantizeDecoderLayer)
    ->ArgsProduct({{3, 4}, {0, 1}})
    ->ArgNames({"bits", "dense_too"})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace sq

BENCHMARK_MAIN();
