// A model of which the original's .pt file has the quantized layers.
#pragma once

#include <string>

#include "sq/model/transformer.h"

namespace sq {

// Opens the model of `folder`, its config.json and tokenizer, with the tensors of `file`. What
// `file` lacks of the tensors that are not quantized comes from the folder, which needs no weights
// where it lacks none: the original's files for the first LLaMA hold the quantized layers alone,
// its later ones every tensor, and it is the tensors that tell, not the file's name. Whether a head
// that the configuration ties is tied follows from the weights too, from those of the file where it
// has an embedding. Otherwise like OpenModel; an error is also a layer that is not packed, and a
// count that is not its layer's.
Model OpenTorchModel(const std::string& folder, const std::string& file,
                     const OpenOptions& options = {});

// What the original's command line says of such a file: throws sq::Error unless its layers are of
// `bits` (0: any) and, with `include_sparse`, some of them have outliers. Outliers without
// `include_sparse` are used all the same, where the original would drop them; the log says so.
void CheckTorchModel(const Model& model, const std::string& file, int bits, bool include_sparse);

}  // namespace sq
