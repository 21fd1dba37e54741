// A checkpoint folder opened and checked: from its headers it is known that a model can be made of
// it. Reading weights is for weights.h.
#pragma once

#include <string>
#include <vector>

#include "sq/base/problem_list.h"
#include "sq/checkpoint/architecture.h"
#include "sq/checkpoint/model_config.h"
#include "sq/checkpoint/tensor_store.h"

namespace sq {

// What whoever opens a model knows better than its files.
struct OpenOptions {
  // Fields of config.json that are passed over as if they were not there; see ReadModelConfig.
  std::vector<std::string> ignore_config_fields;
  // Tensors that nothing uses are an error, not a warning.
  bool strict = false;
};

struct Model {
  std::string folder;
  ModelConfig config;
  TensorStore store;  // what the architecture has, by its names, and nothing else
  // What the user should know of the checkpoint, one line each.
  std::vector<std::string> warnings = {};
};

// Names, shapes and types of all that the architecture needs are right afterwards; values are not
// read, but for those of a head that is tied and there nevertheless (TieHead). Tensors that the
// architecture does not know are left out, as transformers does, with a warning; float64 gets one
// too. Throws sq::Error on a folder that is no model, naming every tensor at fault; with
// `options.strict` also on those that are not known.
Model OpenModel(const std::string& folder, const OpenOptions& options = {});

// The same for a configuration and tensors that are at hand, which `store.path()` names in errors
// and warnings. `problems`: what was found already, told with what is found here.
enum class LayerForm { kAny, kPacked };
Model CheckedModel(const std::string& folder, const ModelConfig& config, const TensorStore& store,
                   const OpenOptions& options, LayerForm form = LayerForm::kAny,
                   ProblemList problems = {});

// The folder's weights by the architecture's names, which of them are there not checked.
TensorStore OpenWeights(const std::string& folder, const ModelConfig& config);

// Settles whether a head that the configuration ties is tied, as transformers 5 does: where the
// embedding and the head are both stored and differ, the head is one of its own, which a warning
// says (transformers 4 ties it). Else the embedding is what remains in `store`, be it stored by the
// head's name alone. Reads both where both are there.
void TieHead(ModelConfig* config, TensorStore* store, std::vector<std::string>* warnings);

// "tensor lm_head.weight", "4 tensors (lm_head.weight, v_head.weight, and 2 more)".
std::string TensorsText(const std::vector<std::string>& names);

}  // namespace sq
