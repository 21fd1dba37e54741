// A pass over many sequences, one decoder layer at a time: all of them go through a layer before
// the next one is loaded, so that a model larger than memory can be run.
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

// How dense weights are loaded for such a pass: fp32; on a device with `bfloat16` as bfloat16,
// whose products round their operands to it.
DenseWeights PassWeights(const Device& device, bool bfloat16);

// Loads layers 0 .. layers - 1 and calls body(number, weights) for each; afterwards waits for the
// device and calls layer_done, if there is one, with the number of layers done.
void ForEachLayer(LayerLoader* loader, int64_t layers, const Device& device,
                  const std::function<void(int64_t, const DecoderLayer&)>& body,
                  const std::function<void(int64_t)>& layer_done = {});

// Sequences of tokens whose hidden values lie one sequence after the other in [tokens, hidden]
// tensors, in the host's memory or the device's. Sequences of one length go through a layer several
// at a time on a device, and on the CPU each on a thread.
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
  // What DecoderForward rotates a batch by.
  RopeTable Rope(const SequenceBatch& batch) const;

  // Fills `out` with the sequences' embeddings.
  void Embed(const at::Tensor& out) const;
  // Takes `in` through a layer to `out`, which may be `in`.
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
