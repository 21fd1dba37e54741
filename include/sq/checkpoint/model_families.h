// What config.json says in each family of models: its fields' names, what they are where they are
// absent, and which values are computed. The reference is transformers 5 (configuration_*.py and
// modeling_*.py of the family), and version 4 where a file is one that only that writes.
#pragma once

#include "sq/checkpoint/config_fields.h"
#include "sq/checkpoint/model_config.h"

namespace sq {

struct ModelFamily {
  const char* model_type;    // config.json's
  const char* architecture;  // ModelConfig::model_type
  bool rotary;               // positions are by ModelConfig::rope, not learned
  // Fills in everything but rope and what is of no family. Throws sq::Error on a field that is
  // missing, out of range, or of a value that is not computed.
  void (*parse)(ConfigFields* fields, ModelConfig* config);
};

// Throws sq::Error, opening with `where`, on a type that is not supported: all those are named.
const ModelFamily& FindModelFamily(const std::string& model_type, const std::string& where);

}  // namespace sq
