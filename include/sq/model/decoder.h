// Token by token decoding with a key-value cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/kernels/cuda_decoder.h"
#include "sq/model/device.h"
#include "sq/model/transformer.h"

namespace sq {

// A whole model: on the CPU packed layers in memory, dense ones in the mapped files; or all in the
// memory of a CUDA device, and then `layers` and `head` are empty. Any number of decoders may share
// it.
struct LoadedModel {
  const Model& model;
  std::vector<DecoderLayer> layers;
  Head head;
  Device device;
  std::shared_ptr<const CudaModel> on_device;  // null on the CPU
};

// On a CUDA device one layer at a time goes through the host's memory. Throws sq::Error when the
// device's will not do, and on sizes that its kernels do not take (cuda_decoder.h).
std::shared_ptr<const LoadedModel> LoadModel(const Model& model, const Device& device = {});

class Decoder {
 public:
  // Makes room for `capacity` tokens of `batch` sequences.
  Decoder(std::shared_ptr<const LoadedModel> loaded, int64_t batch, int64_t capacity);

  // Feeds `ids` ([batch] sequences of one length) and returns the logits after their last tokens:
  // fp32 [batch, vocab], on the host. One token at a time or many: the results are the same but for
  // rounding. Throws sq::Error on an id outside the vocabulary, and on more positions than were
  // learned.
  at::Tensor Step(const std::vector<std::vector<int32_t>>& ids);

  // Feeds `ids` likewise and returns the id with the greatest logit for each sequence, the lowest
  // of equal ones. On a CUDA device the logits stay there, and so do ids that are fed as they were
  // returned.
  std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids);

  // Forgets all tokens.
  void Reset();

  int64_t length() const { return length_; }

 private:
  void CheckTokens(const std::vector<std::vector<int32_t>>& ids) const;
  void PlaceRotaryRows(int64_t tokens);
  at::Tensor StepOnHost(const std::vector<std::vector<int32_t>>& ids);

  std::shared_ptr<const LoadedModel> loaded_;
  std::unique_ptr<CudaDecoder> on_device_;  // null on the CPU
  std::vector<int32_t> best_;         // what StepGreedily returned, while that is the last step
  std::vector<int64_t> row_lengths_;  // on a device: the RopeLength that each position's row is of
  RopeTables rope_;                   // on the CPU
  std::vector<LayerCache> caches_;
  int64_t batch_, capacity_, length_ = 0;
};

// Continues `prompt` greedily by at most `count` tokens, stopping after an end-of-sequence token.
// Ties go to the lowest id. Throws sq::Error when the prompt is empty, Interrupted when that was
// asked for.
std::vector<int32_t> GenerateGreedy(std::shared_ptr<const LoadedModel> loaded,
                                    const std::vector<int32_t>& prompt, int64_t count);

}  // namespace sq
