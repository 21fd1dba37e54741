// How rows are handed to what clusters them: the interface between quant, which has the rows, and
// kernels, which have a device. Neither includes the other.
#pragma once

#include <cstdint>
#include <functional>

#include "sq/base/matrix_view.h"

namespace sq {

// Writes rows first .. first + weights.rows - 1 to weights and sensitivities, both [rows][n].
using FillRows =
    std::function<void(int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities)>;

// Takes what those rows gave: centroids [rows][k] and indices [rows][n]. May write over them.
using TakeRows =
    std::function<void(int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices)>;

// Clusters rows 0 .. rows - 1, each of n weights, into k clusters: in batches of its own choice it
// calls fill and later take, once for each row. Batches may come in any order, and from several
// threads at once; memory is the clusterer's, so that rows are written where it wants to have them.
// What it throws, and what fill and take throw, comes back out; rows may then be missing.
using RowClusterer = std::function<void(int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                                        const TakeRows& take)>;

}  // namespace sq
