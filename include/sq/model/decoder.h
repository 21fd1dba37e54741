// Token-by-token decoding with a KV cache, on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/kernels/decoder.h"
#include "sq/model/device.h"
#include "sq/model/rope_table.h"
#include "sq/model/torch_decoder.h"

namespace sq {

// A whole model loaded to a device, shared by any number of decoders.
struct LoadedModel {
  Model model;
  Device device;
  std::shared_ptr<const TorchModel> on_host;      // null on a CUDA device
  std::shared_ptr<const DecoderModel> on_device;  // null on the CPU

  // Bytes of weights that a step reads (DecoderModel::StepBytes).
  int64_t StepBytes() const;
};

// Throws sq::Error when the device is out of memory, and for sizes that its kernels do not support
// (cuda_decoder.h).
std::shared_ptr<const LoadedModel> LoadModel(const Model& model, const Device& device);

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
  // of equal ones.
  std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids);

  // Appends the ids returned by the last step, which must have been greedy, without a round trip
  // through the host.
  std::vector<int32_t> StepGreedily();

  // Forgets all tokens.
  void Reset();

  int64_t length() const { return session_->length(); }

 private:
  void CheckTokens(const std::vector<std::vector<int32_t>>& ids) const;
  void CheckPositions(int64_t tokens) const;
  void UpdateRotary(int64_t tokens);

  std::shared_ptr<const LoadedModel> loaded_;
  int64_t batch_, capacity_;
  // RopeLength of each position's current row of cos and sin.
  std::vector<int64_t> row_lengths_;
  std::unique_ptr<DecoderSession> session_;
};

// Continues `prompt` greedily by at most `count` tokens, stopping after an end-of-sequence token.
// Ties go to the lowest id. Throws sq::Error when the prompt is empty, Interrupted when that was
// asked for.
std::vector<int32_t> GenerateGreedy(std::shared_ptr<const LoadedModel> loaded,
                                    const std::vector<int32_t>& prompt, int64_t count);

}  // namespace sq
