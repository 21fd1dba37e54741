// The library squeezellm::core in one header: quantize a weight matrix, multiply by the result,
// store it and read it back. Needs neither LibTorch nor a GPU. Example: include/README.md.
//
//   quant/quantize_layer.h           QuantizeLayer: weights and sensitivities -> PackedLayer
//   quant/outliers.h                 OutlierOptions, SparsityLevels: which weights are kept exact
//   quant/distortion.h               MeasureDistortion: the error of a packed layer
//   quant/kmeans1d.h                 Kmeans1d: exact weighted k-means of one row
//   packed/packed_layer.h            PackedLayer, Dequantize, BitsPerWeight
//   packed/bit_pack.h                PackIndices, UnpackIndices: the bit layout of indices
//   kernels/packed_matmul.h          CpuLayer, PackedMatmul: y = W x on the CPU
//   checkpoint/packed_checkpoint.h   PackedLayer <-> tensors with the original's names
//   checkpoint/tensor_store.h        the tensors of a checkpoint by name
//   checkpoint/safetensors.h         .safetensors files
//   base/parallel.h                  SetThreadCount
//   base/error.h                     sq::Error, which all of these throw
#pragma once

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/checkpoint/tensor_store.h"
#include "sq/kernels/packed_matmul.h"
#include "sq/packed/bit_pack.h"
#include "sq/packed/packed_layer.h"
#include "sq/quant/distortion.h"
#include "sq/quant/kmeans1d.h"
#include "sq/quant/outliers.h"
#include "sq/quant/quantize_layer.h"
