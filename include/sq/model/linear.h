// A linear layer, dense or packed, behind one forward: the adapter between LibTorch and the
// kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <variant>

#include "sq/checkpoint/architecture.h"
#include "sq/checkpoint/tensor_store.h"
#include "sq/kernels/cuda_matmul.h"
#include "sq/kernels/packed_matmul.h"
#include "sq/model/device.h"

namespace sq {

// A packed layer in the memory of CUDA device `device`.
struct OnCuda {
  std::shared_ptr<const CudaLayer> layer;
  int device = 0;
};

struct Linear {
  // A dense weight [out, in] in memory (fp32; on a device also bf16 or fp16), a dense weight that
  // stays in its file (F32, F16 or BF16), or a packed layer with its bias, loaded for its device.
  std::variant<at::Tensor, FileTensor, CpuLayer, OnCuda> weight;
  at::Tensor bias;  // of a dense weight: fp32 [out], or undefined

  // The dense weight in memory; `weight` must hold one.
  const at::Tensor& dense() const { return std::get<at::Tensor>(weight); }
};

// What becomes of a dense weight: fp32 in memory, for use with many tokens and for gradients; or
// left in the mapped file and converted a block of rows at a time whenever it is used. For a whole
// model that is decoded token by token the latter takes no memory of its own and half the traffic.
// In a device's memory kStored is the type of the file, and kBFloat16 is there alone: products
// round their operands to it. F64 is never left as it is, but fp32 in memory.
enum class DenseWeights { kFloat, kStored, kBFloat16 };

// Reads the layer in whichever form `store` holds it, into the memory of `device`.
Linear LoadLinear(const TensorStore& store, const LinearInfo& info, DenseWeights dense,
                  const Device& device);

// A dense weight without a layer around it, such as the head's.
Linear LoadDenseWeight(const FileTensor& tensor, const Shape& expected, DenseWeights dense,
                       const Device& device);

// x: fp32 [..., in] -> fp32 [..., out], both where the layer is. A weight of 16 bits has x rounded
// to its type, and sums are fp32 still, those of a gradient too. Only a layer that holds a dense
// weight in memory has a gradient. On the CPU it runs on the calling thread when it is called from
// a ParallelFor; else the work is split by output rows. On a device it is queued on the default
// stream, LibTorch's as long as nobody sets another.
at::Tensor ApplyLinear(const Linear& linear, const at::Tensor& x);

// a [m, k] times b [k, n], of one type, with fp32 sums: fp32 [m, n]. Has no gradient.
at::Tensor FloatProduct(const at::Tensor& a, const at::Tensor& b);

// The tensor converted to fp32 and shaped; `expected` is checked.
at::Tensor LoadFloats(const FileTensor& tensor, const Shape& expected, const Device& device);

}  // namespace sq
