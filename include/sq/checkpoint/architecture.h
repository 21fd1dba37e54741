// Architectures as data. One row of the table in architecture.cc defines a model_type: how its
// config.json is parsed, the names of its tensors, and the linear layers and norms of a decoder
// layer. Loading, calibration, quantization, packing, checks and the decoders iterate over
// LayerLinears and LayerNorms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/base/layer_parts.h"
#include "sq/checkpoint/model_config.h"

namespace sq {

class ConfigFields;

// A field of config.json of which only some values are supported. `values` is a JSON list; a field
// that is present with another value (null included, unless listed) is an error.
struct FixedField {
  const char* name;
  const char* values;
};

// A linear layer of every decoder layer. Its size follows from its roles.
struct LinearRow {
  const char* name;               // of the module, after the layer's prefix
  std::vector<LinearRole> roles;  // of its rows, in order; several for a fused layer
  bool ModelConfig::*bias;        // the field that enables its bias; null: no bias
};

struct NormRow {
  NormRole role;
  const char* name;  // of the module, after the layer's prefix
};

// x / rms(x) * weight, or (x - mean) / deviation * weight + bias.
enum class NormKind { kRms, kLayer };

struct Architecture {
  const char* model_type;  // config.json's
  // Sets everything except the RoPE parameters and the quantization. Throws sq::Error for a field
  // that is missing or out of range.
  void (*parse)(ConfigFields* fields, ModelConfig* config);
  std::vector<FixedField> fixed_fields;  // besides those that all architectures have in common

  NormKind norms;
  const char* embedding;     // name of the tensor
  const char* positions;     // name of the tensor of learned positions, which are added to the
                             // embedding: a row per position after the first kPositionOffset. Null:
                             // queries and keys are rotated by ModelConfig::rope instead
  const char* layer_prefix;  // followed by the layer's number and a dot
  const char* final_norm;    // name of the module
  const char* head;          // name of the tensor
  std::vector<LinearRow> layer_linears;
  std::vector<NormRow> layer_norms;
};

constexpr int64_t kPositionOffset = 2;  // OPT's, which all learned positions here follow

// The row of a model_type, or null.
const Architecture* FindArchitecture(const std::string& model_type);

// All supported model_types, comma-separated.
std::string KnownArchitectures();

// Throws sq::Error for the first field that is present with an unsupported value.
void CheckFixedFields(const std::vector<FixedField>& fixed, ConfigFields* fields);

// The fixed fields common to all architectures.
const std::vector<FixedField>& CommonFixedFields();

// One linear layer as stored in the checkpoint; it is quantized as one matrix.
struct LinearInfo {
  std::string name;  // of the module, such as model.layers.0.self_attn.q_proj
  std::vector<LinearPart> parts;
  int64_t out_features;
  int64_t in_features;
  bool bias;

  std::string WeightName() const { return name + ".weight"; }
  std::string BiasName() const { return name + ".bias"; }
};

struct NormInfo {
  NormRole role;
  std::string name;  // of the module
  int64_t features;
  bool bias;

  std::string WeightName() const { return name + ".weight"; }
  std::string BiasName() const { return name + ".bias"; }
};

// The linear layers of decoder layer `layer`, in forward order, and its norms.
std::vector<LinearInfo> LayerLinears(const ModelConfig& config, int64_t layer);
std::vector<NormInfo> LayerNorms(const ModelConfig& config, int64_t layer);

// The linear layers of all decoder layers, in order.
std::vector<LinearInfo> ModelLinears(const ModelConfig& config);

// The norm before the LM head.
NormInfo FinalNormInfo(const ModelConfig& config);

// Name of the LM head's tensor; that of the embedding if they are tied.
const char* HeadName(const ModelConfig& config);

// Names and shapes of all tensors other than linear layers: embeddings, norms, and the head unless
// it is tied.
struct PlainTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<PlainTensor> PlainTensors(const ModelConfig& config);

}  // namespace sq
