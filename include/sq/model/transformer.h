// The decoder's forward pass, layer by layer, for every architecture of the table. Values are fp32;
// all of a forward pass lies and runs on one device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "sq/model/rope_table.h"
#include "sq/model/weights.h"

namespace sq {

// Keys and values of one layer for the tokens seen so far: [batch, kv_heads, capacity, head_dim].
struct LayerCache {
  at::Tensor keys, values;
  int64_t length = 0;
};

// Applies a linear layer: ApplyLinear, or a wrapper that also records inputs and outputs. The first
// argument is the index in DecoderLayer::linears.
using LinearFn = std::function<at::Tensor(size_t, const Linear&, const at::Tensor&)>;

// hidden: [batch, tokens, hidden] -> the same shape. `rope` covers the tokens' positions. With a
// cache the tokens follow those in it, attend to them too and are added to it; without one they are
// a whole sequence. Differentiable with respect to `hidden` when the layer is dense.
at::Tensor DecoderForward(const ModelConfig& config, const DecoderLayer& layer,
                          const at::Tensor& hidden, const RopeTable& rope,
                          LayerCache* cache = nullptr, const LinearFn& apply = {});

// Final norm: [..., hidden] -> the same shape. Logits: normed [..., hidden] -> [..., vocab].
at::Tensor FinalNorm(const ModelConfig& config, const Head& head, const at::Tensor& hidden);
at::Tensor Logits(const Head& head, const at::Tensor& normed);

}  // namespace sq
