// The interface by which `quant` passes rows to a clusterer, for instance on a device (`kernels`).
// Neither of those layers includes the other.
#pragma once

#include <cstdint>
#include <functional>

#include "sq/base/matrix_view.h"

namespace sq {

// Writes rows first .. first + weights.rows - 1 to weights and sensitivities, both [rows][n].
using FillRows =
    std::function<void(int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities)>;

// Receives the result for those rows: centroids [rows][k] and indices [rows][n]. May modify both.
using TakeRows =
    std::function<void(int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices)>;

// Clusters rows 0 .. rows - 1, each of n weights, into k clusters. The clusterer chooses batches of
// rows and calls `fill` and then `take` for each, so that every row is passed once. Batches may
// come in any order and from several threads at once. The clusterer owns the buffers, so that rows
// can be written directly to, say, pinned memory. Exceptions, also those of `fill` and `take`,
// propagate; some rows are then missing.
using RowClusterer = std::function<void(int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                                        const TakeRows& take)>;

}  // namespace sq
