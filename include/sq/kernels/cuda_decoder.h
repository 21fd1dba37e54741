// The CUDA backend of decoder.h: weights and KV cache in device memory, one CUDA graph per step.
// Does not include CUDA headers.
//
// Numbers: the residual stream, sums and softmax are fp32; what goes into a linear layer is rounded
// to fp16 (for the MLP's second one with a scale of 2^-6, so that activations up to 4e6 fit), keys
// and values too. Dense fp32 and bf16 weights become fp16 where all values fit, the bf16 ones
// without loss but below 1e-5: inputs rounded to fp16 keep 3 bits more than to bf16, which makes
// texts equal the CPU's. Where values do not fit, the matrix and its inputs are bf16. Runs repeat
// bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/kernels/decoder.h"

namespace sq {

// Weights in the memory of the device that is current on construction. Supported sizes: hidden a
// multiple of 8 up to 16384, intermediate a multiple of 8, head_dim a multiple of 8 up to 256.
// Dense layers with a common input must not mix fp16 and bf16. Query, key and value, and gate and
// up, are concatenated where their bit widths or types agree.
class CudaModel : public DecoderModel {
 public:
  explicit CudaModel(const DecoderShape& shape);
  ~CudaModel() override;
  CudaModel(const CudaModel&) = delete;
  CudaModel& operator=(const CudaModel&) = delete;

  void AddLayer(const DecoderLayerWeights& layer) override;
  void SetEmbeddingAndHead(const EmbeddingAndHead& ends) override;
  std::unique_ptr<DecoderSession> NewSession(int64_t batch, int64_t capacity,
                                             const RotaryRows& rotary) const override;
  int64_t Bytes() const override;
  int64_t StepBytes() const override;

  const DecoderShape& shape() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

class CudaDecoder : public DecoderSession {
 public:
  // `graphs`: capture single-token steps once and replay them. Otherwise kernels are launched one
  // by one, with the same results.
  CudaDecoder(std::shared_ptr<const CudaModel> model, int64_t batch, int64_t capacity,
              const RotaryRows& rotary, bool graphs = true);
  ~CudaDecoder() override;
  CudaDecoder(const CudaDecoder&) = delete;
  CudaDecoder& operator=(const CudaDecoder&) = delete;

  // Synchronizes with the last step first.
  void SetRotary(int64_t begin, int64_t count, const RotaryRows& rows) override;
  // Prompts are processed in chunks of 512 rows (or one token per sequence if the batch is larger);
  // buffers grow on first use. `logits` may be null.
  void Step(const std::vector<std::vector<int32_t>>& ids, float* logits) override;
  std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids) override;
  std::vector<int32_t> StepGreedily() override;
  void Reset() override;
  int64_t length() const override;

  // The parts of StepGreedily. StepBest enqueues a step that feeds the argmax of the previous one
  // and returns at once; Best waits for the last step and returns its argmax [batch].
  void StepBest();
  std::vector<int32_t> Best() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sq
