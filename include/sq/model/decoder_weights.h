// Loads a checkpoint into a backend of kernels/decoder.h, layer by layer.
#pragma once

#include "sq/kernels/decoder.h"
#include "sq/model/model.h"

namespace sq {

DecoderShape DecoderShapeOf(const ModelConfig& config);

// Adds all layers, the embedding and the head of `model` to `decoder`. Holds one layer at a time in
// host memory.
void LoadDecoderWeights(const Model& model, DecoderModel* decoder);

}  // namespace sq
