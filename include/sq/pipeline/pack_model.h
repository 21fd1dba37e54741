// Quantized checkpoints in other forms: what sq-pack does. `open`: how a folder's config.json and
// tensors are taken.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/model/transformer.h"

namespace sq {

// Quantized folder -> the original's .pt state dict with every tensor of the model; with `balanced`
// also `startrows`, the work split of the original's balanced sparse kernel.
void ExportTorchFile(const std::string& folder, const std::string& file, bool balanced,
                     const OpenOptions& open = {});

// The original's .pt -> quantized folder. `model` is the folder that has config.json, the tokenizer
// and what the .pt lacks; torch_model.h says what is an error. Packed layers are written in the one
// form of packed_checkpoint.h, all other tensors, biases among them, as they are.
void ImportTorchFile(const std::string& file, const std::string& model, const std::string& output,
                     const OpenOptions& open = {});

// Quantized folder -> plain fp16 checkpoint. Throws sq::Error for a value beyond fp16's range.
void DequantizeFolder(const std::string& folder, const std::string& output,
                      const OpenOptions& open = {});

// Names, types and shapes of a checkpoint's tensors, in a folder or a file of any kind, and what
// its packed layers amount to.
nlohmann::ordered_json Inspect(const std::string& path);

// Reads every tensor of a quantized folder or .pt file and checks it: shapes, finite values,
// indices of outliers, the counts that a .pt has beside them. Throws sq::Error at the first fault;
// returns the number of packed layers.
int64_t Verify(const std::string& path, const OpenOptions& open = {});

}  // namespace sq
