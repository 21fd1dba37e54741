// Layer-by-layer execution over many sequences: all sequences pass through a decoder layer before
// the next layer is loaded, so that models larger than memory can be run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "sq/model/batches.h"
#include "sq/model/layer_loader.h"
#include "sq/model/rope_table.h"
#include "sq/model/transformer.h"

namespace sq {

// The form of dense weights in such a pass: fp32, or on a device with `bfloat16` bfloat16, whose
// products round their operands.
DenseWeights PassWeights(const Device& device, bool bfloat16);

// Loads layers 0 .. layers - 1 in turn. For each, calls body(layer, weights), synchronizes with the
// device, and calls layer_done (if set) with the number of finished layers.
void ForEachLayer(LayerLoader* loader, int64_t layers, const Device& device,
                  const std::function<void(int64_t, const DecoderLayer&)>& body,
                  const std::function<void(int64_t)>& layer_done = {});

// A set of token sequences whose hidden states are concatenated in [tokens, hidden] tensors, in
// host or device memory. On a device, sequences of equal length are batched; on the CPU each runs
// on its own thread.
class SequencePass {
 public:
  SequencePass() = default;
  // `model` and `sequences` must outlive it.
  SequencePass(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
               const Device& device);

  int64_t tokens() const { return begin_.back(); }
  const std::vector<SequenceBatch>& batches() const { return batches_; }

  // The rows of one sequence, and of one batch.
  at::Tensor Rows(const at::Tensor& all, size_t sequence) const;
  at::Tensor Rows(const at::Tensor& all, const SequenceBatch& batch) const;
  // The rotary table for a batch, as DecoderForward takes it.
  RopeTable Rope(const SequenceBatch& batch) const;

  // Fills `out` with the sequences' embeddings.
  void Embed(const at::Tensor& out) const;
  // Applies a layer to `in` and writes to `out`, which may be the same tensor.
  void Forward(const DecoderLayer& layer, const at::Tensor& in, const at::Tensor& out) const;

 private:
  const Model* model_ = nullptr;
  const std::vector<std::vector<int32_t>>* sequences_ = nullptr;
  Device device_;
  std::vector<int64_t> begin_;  // first row of each sequence, then the total
  std::vector<SequenceBatch> batches_;
  RopeTables rope_;
};

}  // namespace sq
