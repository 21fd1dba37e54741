// A linear layer, dense or packed, behind one forward: the adapter between LibTorch and the
// kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "sq/checkpoint/tensor_store.h"
#include "sq/model/architecture.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// Exactly one of weight and packed is set.
struct Linear {
  at::Tensor weight;                          // fp32 [out, in]
  at::Tensor bias;                            // fp32 [out], undefined when there is none
  std::shared_ptr<const PackedLayer> packed;  // holds its own bias

  bool Empty() const { return packed == nullptr && !weight.defined(); }
};

// Reads the layer in whichever form `store` holds it; fp16 and bf16 weights become fp32.
Linear LoadLinear(const TensorStore& store, const LinearInfo& info);

// x: fp32 [..., in] -> fp32 [..., out]. A packed layer has no gradient. Runs on the calling thread
// when it is called from a ParallelFor; else the work is split by output rows.
at::Tensor ApplyLinear(const Linear& linear, const at::Tensor& x);

// The tensor converted to fp32 and shaped; `expected` is checked.
at::Tensor LoadFloats(const FileTensor& tensor, const Shape& expected);

}  // namespace sq
