// Token by token decoding with a key-value cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/model/transformer.h"

namespace sq {

// A whole model: packed layers in memory, dense ones in the mapped files. Any number of decoders
// may share it.
struct LoadedModel {
  const Model& model;
  std::vector<DecoderLayer> layers;
  Head head;
};

std::shared_ptr<const LoadedModel> LoadModel(const Model& model);

class Decoder {
 public:
  // Makes room for `capacity` tokens of `batch` sequences.
  Decoder(std::shared_ptr<const LoadedModel> loaded, int64_t batch, int64_t capacity);

  // Feeds `ids` ([batch] sequences of one length) and returns the logits after their last tokens:
  // fp32 [batch, vocab]. One token at a time or many: the results are the same but for rounding.
  at::Tensor Step(const std::vector<std::vector<int32_t>>& ids);

  // Forgets all tokens.
  void Reset();

  int64_t length() const { return length_; }

 private:
  std::shared_ptr<const LoadedModel> loaded_;
  RopeTable rope_;
  std::vector<LayerCache> caches_;
  int64_t batch_, capacity_, length_ = 0;
};

// Continues `prompt` greedily by at most `count` tokens, stopping after an end-of-sequence token.
// Ties go to the lowest id. Throws sq::Error when the prompt is empty, Interrupted when that was
// asked for.
std::vector<int32_t> GenerateGreedy(std::shared_ptr<const LoadedModel> loaded,
                                    const std::vector<int32_t>& prompt, int64_t count);

}  // namespace sq
