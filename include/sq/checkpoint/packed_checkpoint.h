// PackedLayer <-> files: the only place with the original's tensor names and configuration keys.
//
// For a linear layer L (design of the original, SqueezeLLM `quant.py`; [out] and [in] its
// features):
//   L.qweight       int32   [in/32*bits, out]   packed indices, see packed/bit_pack.h
//   L.lookup_table  float32 [out, 2^bits]
//   L.rows, L.cols, L.vals  int32 [out+1], int32 [nnz], float32 [nnz]: the outliers, when there are
//   any L.bias          float   [out], where the layer has one
#pragma once

#include <string>
#include <vector>

#include "sq/checkpoint/model_config.h"
#include "sq/checkpoint/tensor_store.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// Whether `store` holds layer `name` in packed form.
bool HasPackedLayer(const TensorStore& store, const std::string& name);

// Reads and validates one layer; the width follows from the table's shape. Throws sq::Error naming
// file, tensor, expected and found, also when the layer's size is not [out_features, in_features].
PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name, int64_t out_features,
                            int64_t in_features);

// The layer's tensors as views into `layer`, which must outlive them.
std::vector<TensorView> PackedTensors(const PackedLayer& layer, const std::string& name);

// Names of a packed layer's tensors: needed ones, then those of its sparse part and hints that
// other writers may have added.
std::vector<std::string> PackedTensorNames(const std::string& name);
std::vector<std::string> OptionalPackedTensorNames(const std::string& name);

// L.startrows, int32 [threads]: the row in which each thread of the original's balanced sparse
// kernel begins when every thread takes the same number of outliers, about ten; -1 for threads left
// without any.
std::vector<int32_t> BalancedStartRows(const Csr& csr);

// What a quantized folder says of itself.
struct QuantizationInfo {
  int bits = 0;                   // the width of all layers (the default where they differ)
  double sensitive_fraction = 0;  // of each matrix's weights, kept exact for their sensitivity
  double outlier_fraction = 0;    // of each matrix's weights, kept exact for their magnitude
};

// Copies `source` (a folder)'s config.json to `folder` with "quantization_config" added, and writes
// quant_config.json, which vLLM's loader of the original format looks for.
void WriteQuantizedConfig(const std::string& source, const std::string& folder,
                          const QuantizationInfo& info);

}  // namespace sq
