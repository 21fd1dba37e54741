// Quantizes a few seeded matrices and prints a checksum of every result. contraction_test.py
// compares the output of builds with other compilers and with fused multiply-add allowed.
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "sq/quant/quantize_layer.h"

namespace {

// FNV-1a, so that this program needs nothing but what it tests.
uint64_t Hash(const void* data, size_t bytes, uint64_t hash = 14695981039346656037u) {
  const auto* const begin = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ begin[i]) * 1099511628211u;
  return hash;
}

template <typename T>
uint64_t Hash(const std::vector<T>& values) {
  return Hash(values.data(), values.size() * sizeof(T));
}

// Roughly normal, by sums and products that no compiler can contract: the engine's own integers are
// exact on every platform.
std::vector<float> Random(std::mt19937* engine, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    int64_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += (*engine)() >> 8;
    value = static_cast<float>(sum - 2 * (int64_t{1} << 24)) * 0x1p-24f;
  }
  return values;
}

void Run(int bits, int64_t rows, int64_t cols, double outliers, bool fisher) {
  std::mt19937 engine(static_cast<uint32_t>(1000 * bits + rows));
  const std::vector<float> weights = Random(&engine, rows * cols);
  std::vector<float> sensitivities = Random(&engine, rows * cols);
  for (float& value : sensitivities) value = value < 0 ? -value : value;
  sq::QuantizeOptions options;
  options.bits = bits;
  options.outliers.sensitive_fraction = outliers;
  options.outliers.outlier_fraction = outliers;
  const sq::QuantizedLayer made = sq::QuantizeLayer(
      {weights.data(), rows, cols},
      fisher ? sq::FisherView{sensitivities.data(), rows, cols} : sq::FisherView{}, options,
      "layer");
  std::printf("%d bits, %" PRId64 " x %" PRId64 ": %016" PRIx64 " %016" PRIx64 " %016" PRIx64
              " %a %a\n",
              bits, rows, cols, Hash(made.layer.qweight), Hash(made.layer.lookup_table),
              Hash(made.layer.outliers.vals), made.stats.distortion.weighted,
              made.stats.distortion.squared_error);
}

}  // namespace

int main() {
  for (const int bits : {2, 3, 4}) {
    Run(bits, 24, 512, 0.005, true);
    Run(bits, 17, 1536, 0, true);
    Run(bits, 9, 96, 0.01, false);
    Run(bits, 5, 11008, 0.002, true);
  }
}
