// PackedLayer <-> files: the only place with the original's names of tensors.
//
// For a linear layer L (design of the original, SqueezeLLM `quant.py`; [out] and [in] its
// features):
//   L.qweight       int32   [in/32*bits, out]   packed indices, see packed/bit_pack.h
//   L.lookup_table  float32 [out, 2^bits]
//   L.rows, L.cols, L.vals  int32 [out+1], int32 [nnz], float32 [nnz]: the outliers, when there are
//   any
//   L.bias          float   [out], where the layer has one
//
// Read besides, and never written: integers of 64 bits, 16-bit floats, columns in any order, and
//   L.full_rows, L.full_row_indices  float32 [in, count], int32 [count]: outliers of whole output
//   channels, y[full_row_indices[j]] += sum of full_rows[i, j] * x[i], of the original's hybrid
//   kernel. Its loader makes zeros of them. Values other than 0 join the outliers, bit for bit;
//   where both have one for the same weight, as their sum in fp32.
#pragma once

#include <string>
#include <vector>

#include "sq/base/problem_list.h"
#include "sq/checkpoint/tensor_store.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// Whether `store` holds layer `name` in packed form.
bool HasPackedLayer(const TensorStore& store, const std::string& name);
// Throws sq::Error, opening with `where`, unless it does.
void CheckIsPacked(const TensorStore& store, const std::string& name, const std::string& where);

// The names of all packed layers in a store.
std::vector<std::string> PackedLayerNames(const TensorStore& store);

// What a packed layer amounts to, from the shapes of its tensors alone.
struct PackedSummary {
  int bits = 0;
  int64_t out_features = 0, in_features = 0;
  int64_t outliers = 0;
  int64_t bytes = 0;  // in the file, without bias
};
// Throws sq::Error when index and table do not go together.
PackedSummary SummarizePackedLayer(const TensorStore& store, const std::string& name);

// Reads and validates one layer; the width follows from the table's shape. Throws sq::Error naming
// file, tensor, expected and found, also when the layer's size is not [out_features, in_features].
PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name, int64_t out_features,
                            int64_t in_features);
// The same, of the size that its own tensors tell.
PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name);

// The layer's tensors as views into `layer`, which must outlive them.
std::vector<TensorView> PackedTensors(const PackedLayer& layer, const std::string& name);

// Names of all tensors that may belong to a packed layer, its bias aside.
std::vector<std::string> PackedTensorNames(const std::string& name);
// Of these, those that a layer without outliers lacks, and hints that other writers add.
std::vector<std::string> OptionalPackedTensorNames(const std::string& name);

// Checks the names, types and shapes of a layer's tensors, and that what belongs together is there
// together; values are for ReadPackedLayer. Returns the width that the table's shape tells, or 0.
int CheckPackedTensors(const TensorStore& store, const std::string& name, int64_t out_features,
                       int64_t in_features, ProblemList* problems);

// "sparse_threshold.L", the original's name for the number of L's outliers, a plain number beside
// the tensors of a .pt file.
std::string SparseCountName(const std::string& name);

// Checks that every number beside the tensors is the count of a layer's outliers.
void CheckSparseCounts(const TensorStore& store, ProblemList* problems);

// L.startrows, int32 [threads]: the row in which each thread of the original's balanced sparse
// kernel begins when every thread takes the same number of outliers, about ten; -1 for threads left
// without any.
std::vector<int32_t> BalancedStartRows(const Csr& csr);
// The tensor as a view of `rows`, which must outlive it.
TensorView StartRowsTensor(const std::string& name, const std::vector<int32_t>& rows);
bool IsStartRows(const std::string& tensor);

}  // namespace sq
