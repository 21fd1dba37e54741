// A CPU session of kernels/decoder.h built on LibTorch operators. Packed layers are in memory,
// dense weights stay in the mapped files.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/kernels/decoder.h"
#include "sq/model/transformer.h"

namespace sq {

struct TorchModel {
  Model model;
  std::vector<DecoderLayer> layers;
  Head head;

  // Bytes of weights that a step reads: linear layers as stored in memory or in the mapped files,
  // norms and head, without the embedding.
  int64_t StepBytes() const;
};

std::shared_ptr<const TorchModel> LoadTorchModel(const Model& model);

std::unique_ptr<DecoderSession> NewTorchSession(std::shared_ptr<const TorchModel> model,
                                                int64_t batch, int64_t capacity,
                                                const RotaryRows& rotary);

}  // namespace sq
