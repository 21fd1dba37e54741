// The parts of a decoder layer by what they do: the words that architectures
// (checkpoint/architecture.h) and decoders (kernels/decoder.h) share.
#pragma once

#include <cstdint>

namespace sq {

// Of a linear layer, in the order of the forward pass. A layer without kGate has a plain MLP:
// down(activation(up(x))); with it, down(activation(gate(x)) * up(x)).
enum class LinearRole { kQuery, kKey, kValue, kAttentionOut, kGate, kUp, kDown };

// Of a norm: before attention, before the MLP, of each head's queries and keys, and before the LM
// head.
enum class NormRole { kAttention, kMlp, kQuery, kKey, kFinal };

enum class Activation { kSilu, kRelu, kGelu, kGeluTanh };

// Rows [begin, begin + rows) of a linear layer's weight, and so of its outputs, that serve `role`.
// A fused layer has several parts; all of them have the same input.
struct LinearPart {
  LinearRole role;
  int64_t begin = 0;
  int64_t rows = 0;
};

}  // namespace sq
