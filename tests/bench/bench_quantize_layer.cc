// Time to quantize the seven matrices of one decoder layer of SmolLM2-135M (the model has 30 such
// layers) with 0.45 % of outliers, on all threads.
//
//   bench_quantize_layer [REPEATS]     default 5
//
// Prints, for 3 and 4 bits and without and with the estimate of the distortion that there would be
// without outliers (QuantizeOptions::dense_distortion_rows), milliseconds per decoder layer (least,
// median and most of REPEATS runs) and rows per second of the median. Exits with 1 if a repetition
// gives other bytes than the first one.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "sq/base/error.h"
#include "sq/quant/quantize_layer.h"
#include "tests/bench/timing.h"
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

void BenchDecoderLayer(const std::vector<const Matrix*>& layer, int bits, int dense_rows,
                       int repeats) {
  QuantizeOptions options;
  options.bits = bits;
  options.outliers = SparsityLevels(0.45);
  options.dense_distortion_rows = dense_rows;
  int64_t rows = 0;
  for (const Matrix* matrix : layer) rows += matrix->rows;
  const auto quantize = [&](const Matrix& matrix) {
    return QuantizeLayer({matrix.weights.data(), matrix.rows, matrix.cols},
                         {matrix.fisher.data(), matrix.rows, matrix.cols}, options, "matrix");
  };
  const auto expected = quantize(*layer[0]).layer.qweight;
  const bench::Timing timing = bench::Time(repeats, [&] {
    for (const Matrix* matrix : layer) {
      const QuantizedLayer made = quantize(*matrix);
      SQ_CHECK(matrix != layer[0] || made.layer.qweight == expected,
               "QuantizeLayer: the same matrix gave other bytes");
    }
  });
  std::printf("%4d %10d %10.1f %10.1f %10.1f %10.0f\n", bits, dense_rows, 1e3 * timing.least,
              1e3 * timing.median, 1e3 * timing.most, static_cast<double>(rows) / timing.median);
}

void Run(int repeats) {
  constexpr int64_t kHidden = 576, kKeys = 192, kInner = 1536;
  const Matrix square = RandomMatrix(kHidden, kHidden), narrow = RandomMatrix(kKeys, kHidden);
  const Matrix up = RandomMatrix(kInner, kHidden), down = RandomMatrix(kHidden, kInner);
  const std::vector<const Matrix*> layer = {&square, &narrow, &narrow, &square, &up, &up, &down};
  std::printf("%4s %10s %10s %10s %10s %10s\n", "bits", "dense rows", "least ms", "median ms",
              "most ms", "rows/s");
  for (const int bits : {3, 4}) {
    for (const int dense_rows : {0, 64}) BenchDecoderLayer(layer, bits, dense_rows, repeats);
  }
}

}  // namespace
}  // namespace sq

int main(int argc, char** argv) {
  return sq::bench::Main(argc, argv, "bench_quantize_layer", sq::Run);
}
