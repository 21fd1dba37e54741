// cos and sin of the rotary position embedding, by position.
//
// Some types (dynamic, longrope) rotate all tokens of a sequence by its length. What that is while
// a text comes in pieces is transformers' rule: the tokens of one forward pass are rotated by the
// length that the sequence has with them, and keys that a cache holds stay as they were. So a text
// longer than the original context that is decoded with a cache does not get the logits of the
// whole sequence at once, there or here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sq/checkpoint/model_config.h"
#include "sq/model/device.h"

namespace sq {

// A row per position: [count, head_dim], fp32, the two halves of a row the same. Both undefined for
// a model whose positions are learned.
struct RopeTable {
  at::Tensor cos, sin;
};

// What of a sequence's length its rotation depends on: sequences of which this is the same are
// rotated alike. 0 where the type does not look at it.
int64_t RopeLength(const ModelConfig& config, int64_t length);

// Radians per position of each pair: [head_dim / 2], for a sequence of `length` tokens.
std::vector<float> RopeFrequencies(const ModelConfig& config, int64_t length);

// Positions [begin, begin + count) of a sequence of `length` tokens: computed on the host, so that
// they are the same everywhere.
RopeTable MakeRopeTable(const ModelConfig& config, int64_t begin, int64_t count, int64_t length,
                        const Device& device);

// Row `begin` + i is of a sequence that ends there, of begin + i + 1 tokens: what a text that comes
// token by token is rotated by. In the host's memory.
RopeTable MakeStepwiseRopeTable(const ModelConfig& config, int64_t begin, int64_t count);

// The rows of sequences of up to `longest` tokens, at hand for lengths that are met often: short
// ones and the longest. Others are computed when they are asked for.
class RopeTables {
 public:
  RopeTables() = default;
  RopeTables(const ModelConfig& config, int64_t longest, const Device& device);

  // Positions [begin, begin + count) of a sequence of `length` tokens.
  RopeTable Rows(int64_t begin, int64_t count, int64_t length) const;

 private:
  ModelConfig config_;
  Device device_;
  int64_t longest_ = 0;
  RopeTable short_, long_;  // of sequences of 1 and of longest_ tokens
};

}  // namespace sq
