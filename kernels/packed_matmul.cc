#include "sq/kernels/packed_matmul.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "sq/base/integer_math.h"
#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

constexpr int64_t kGemvRows = 64;            // rows of one LUT-GEMV call: their tables fit 4 KB
constexpr int64_t kTileFloats = 256 * 1024;  // 1 MB: a decoded tile stays in the second-level cache

void ByGemv(const PackedView& layer, MatrixView<const float> x, MatrixView<float> y, Loop loop) {
  const int64_t blocks = CeilDivide(layer.out_features, kGemvRows);
  loop(blocks * x.rows, [&](int64_t task) {
    const int64_t token = task / blocks, begin = task % blocks * kGemvRows;
    const int64_t end = std::min(begin + kGemvRows, layer.out_features);
    LutGemv(layer, x.Row(token), begin, end, y.Row(token));
    if (!layer.outliers.Empty()) CsrSpmv(layer.outliers, x.Row(token), begin, end, y.Row(token));
  });
}

void ByTiles(const PackedView& layer, MatrixView<const float> x, MatrixView<float> y, Gemm gemm,
             Loop loop) {
  // A multiple of 32 rows suits every vector width.
  const int64_t rows = std::max<int64_t>(kTileFloats / layer.in_features / 32 * 32, 32);
  loop(CeilDivide(layer.out_features, rows), [&](int64_t block) {
    const int64_t begin = block * rows, count = std::min(rows, layer.out_features - begin);
    std::vector<float> buffer(static_cast<size_t>(count * layer.in_features));
    const MatrixView<float> tile{buffer.data(), count, layer.in_features};
    DecodeTile(layer, begin, tile);
    gemm(x, tile, {y.data + begin, y.rows, count, y.stride});
  });
}

}  // namespace

CpuLayer::CpuLayer(PackedLayer layer)
    : owned_(std::make_shared<const PackedLayer>(std::move(layer))), view_(*owned_) {}

CpuLayer::CpuLayer(const PackedView& layer) : view_(layer) {}

int64_t CpuLayer::Bytes() const {
  const int64_t out = out_features(), outliers = view_.outliers.nonzeros;
  const int64_t words = in_features() / kPackGroup * bits() * out;
  const int64_t sparse = outliers == 0 ? 0 : out + 1 + 2 * outliers;
  return 4 * (words + (out << bits()) + sparse + (view_.bias == nullptr ? 0 : out));
}

void PackedMatmul(const CpuLayer& packed, MatrixView<const float> x, MatrixView<float> y, Gemm gemm,
                  Loop loop) {
  const PackedView& layer = packed.view();
  SQ_CHECK(x.cols == layer.in_features && y.cols == layer.out_features && x.rows == y.rows,
           "packed layer of [", layer.out_features, ", ", layer.in_features, "]: x is [", x.rows,
           ", ", x.cols, "], y is [", y.rows, ", ", y.cols, "]");
  if (gemm == nullptr || x.rows < kGemmTokens) {
    ByGemv(layer, x, y, loop);
  } else {
    ByTiles(layer, x, y, gemm, loop);
  }
  if (layer.bias == nullptr) return;
  for (int64_t t = 0; t < y.rows; ++t) {
    for (int64_t o = 0; o < y.cols; ++o) y.Row(t)[o] += layer.bias[o];
  }
}

}  // namespace sq
