// A linear layer, dense or packed, behind one forward: the adapter between LibTorch and the
// kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "sq/checkpoint/tensor_store.h"
#include "sq/model/architecture.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// Exactly one of weight, stored and packed is set.
struct Linear {
  at::Tensor weight;                          // fp32 [out, in]
  std::optional<FileTensor> stored;           // F32, F16 or BF16 [out, in]
  std::shared_ptr<const PackedLayer> packed;  // holds its own bias
  at::Tensor bias;                            // fp32 [out], undefined when there is none

  bool Empty() const { return packed == nullptr && !weight.defined() && !stored; }
};

// What becomes of a dense weight: fp32 in memory, for use with many tokens and for gradients; or
// left in the mapped file and converted a block of rows at a time whenever it is used. For a whole
// model that is decoded token by token the latter takes no memory of its own and half the traffic.
enum class DenseWeights { kFloat, kStored };

// Reads the layer in whichever form `store` holds it.
Linear LoadLinear(const TensorStore& store, const LinearInfo& info,
                  DenseWeights dense = DenseWeights::kFloat);

// A dense weight without a layer around it, such as the head's.
Linear LoadDenseWeight(const FileTensor& tensor, const Shape& expected, DenseWeights dense);

// x: fp32 [..., in] -> fp32 [..., out]. Only a layer that holds fp32 has a gradient. Runs on the
// calling thread when it is called from a ParallelFor; else the work is split by output rows.
at::Tensor ApplyLinear(const Linear& linear, const at::Tensor& x);

// The tensor converted to fp32 and shaped; `expected` is checked.
at::Tensor LoadFloats(const FileTensor& tensor, const Shape& expected);

}  // namespace sq
