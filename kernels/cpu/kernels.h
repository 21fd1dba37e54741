// The CPU kernels behind PackedMatmul. Each works on a range of rows, so that the caller splits the
// work.
#pragma once

#include <cstdint>

#include "sq/base/matrix_view.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// y[o] = sum over i of table[o][index(o, i)] * x[i] for rows [begin, end); x: [in], y: [out].
void LutGemv(const PackedView& layer, const float* x, int64_t begin, int64_t end, float* y);

// y[o] += sum over the outliers of row o of value * x[column], for rows [begin, end).
void CsrSpmv(const CsrView& csr, const float* x, int64_t begin, int64_t end, float* y);

// Writes rows [begin, begin + tile.rows) of the weight, outliers added, to tile [rows][in].
void DecodeTile(const PackedView& layer, int64_t begin, MatrixView<float> tile);

}  // namespace sq
