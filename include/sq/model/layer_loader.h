// Decoder layers for a pass over a model: on a device the next one is read by a thread of its own,
// and copied on a stream of its own, while the last one computes.
#pragma once

#include <c10/core/Event.h>

#include <cstdint>
#include <future>
#include <optional>

#include "sq/model/transformer.h"

namespace sq {

class LayerLoader {
 public:
  // `model` must outlive the loader.
  LayerLoader(const Model& model, DenseWeights dense, const Device& device)
      : model_(model), dense_(dense), device_(device) {}

  // Layer `layer`, for the calling thread's current stream. `next` says which one will be wanted
  // then; a layer that the model does not have stands for none. What goes wrong with `next` is
  // thrown when it is loaded. Two layers are in memory at a time.
  DecoderLayer Load(int64_t layer, int64_t next);

 private:
  struct Loaded {
    DecoderLayer layer;
    std::optional<c10::Event> copied;  // when it has been, on a device with streams
  };
  Loaded Read(int64_t layer) const;

  const Model& model_;
  DenseWeights dense_;
  Device device_;
  int64_t begun_ = -1;  // which layer next_ is
  std::future<Loaded> next_;
};

}  // namespace sq
