// A model's weights as kernels/decoder.h describes them, read from the checkpoint layer by layer.
#pragma once

#include "sq/kernels/decoder.h"
#include "sq/model/model.h"

namespace sq {

DecoderShape DecoderShapeOf(const ModelConfig& config);

// Adds all layers, embedding and head of `model` to `decoder`. In the host's memory there is one
// layer at a time.
void LoadDecoderWeights(const Model& model, DecoderModel* decoder);

}  // namespace sq
