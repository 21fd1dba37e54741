// What the tools make of a model that was opened: its warnings told, and, before hours of work, the
// values that opening does not read.
#pragma once

#include "sq/checkpoint/tensor_store.h"
#include "sq/model/model.h"

namespace sq {

// To be called once for a model.
void LogWarnings(const Model& model);

// Throws sq::Error unless sq-quantize can take it: not quantized yet, and a multiple of 32 inputs
// to each linear layer.
void CheckQuantizable(const Model& model);

// Throws sq::Error unless `store`, squared gradients by the names of the weights, has those of all
// linear layers in their shapes, naming every one at fault.
void CheckSensitivity(const Model& model, const TensorStore& store);

// Throws sq::Error at a value that is NaN or infinite, and Interrupted when that was asked for.
// Reads every tensor once, shared out among the threads, and keeps none in memory.
void CheckValues(const TensorStore& store);

}  // namespace sq
