// From the stored form of a packed layer to that of layout.h, on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/matmul/layout.h"
#include "sq/packed/packed_layer.h"

namespace sq::cuda {

struct RepackedLayer {
  int index_bits = 0;
  int64_t rows = 0, inputs = 0, padded_rows = 0, padded_inputs = 0;
  std::vector<uint32_t> indices;
  std::vector<uint16_t> table;
  std::vector<float> row_scale;
  std::vector<int32_t> outlier_begin;  // empty: no sparse part
  std::vector<uint32_t> outlier_blocks;
  std::vector<float> bias;
};

// Several layers one below the other, or interleaved as CudaLayer says: of one bit width and number
// of inputs, all with a bias or none. The row's scale is the least power of two above all its table
// entries, and its outliers' 2^-14. An outlier's value is taken anew from the rounded table, so
// that both together give the weight as closely as fp16 can. Throws sq::Error when they do not fit
// together or have more than 65536 inputs. Rows are shared out by ParallelFor.
RepackedLayer Repack(const std::vector<PackedView>& layers, bool interleaved = false);

}  // namespace sq::cuda
