// Rotary position embedding as config.json describes it: what is computed of it is for
// model/rope_table.h.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace sq {

// The frequency of pair i is theta^(-2i/head_dim), then scaled. Names and meaning of the fields are
// those of transformers (modeling_rope_utils.py); every default there is resolved here.
struct Rope {
  enum class Scaling {
    kNone,
    kLinear,    // frequencies divided by factor
    kLlama3,    // long wave lengths divided by factor, with a ramp between (LLaMA-3.1 model card)
    kDynamic,   // theta grows with a sequence longer than max_positions ("NTK-aware")
    kYarn,      // low frequencies divided by factor, with a ramp between (arXiv 2309.00071)
    kLongRope,  // a divisor for each frequency, others for sequences longer than the original
                // context (arXiv 2402.13753)
  };
  double theta = 10000;
  Scaling scaling = Scaling::kNone;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_max_positions = 8192;  // of kLlama3, kYarn and kLongRope
  int64_t max_positions = 0;             // of kDynamic
  double beta_fast = 32;                 // rotations within the original context from which on a
  double beta_slow = 1;                  // frequency is kept, and up to which it is divided
  bool truncate = true;                  // the ends of that ramp rounded to whole pairs
  double attention_factor = 1;           // on cos and sin
  std::vector<double> short_factors, long_factors;  // [head_dim / 2] each
};

// `config` is a whole config.json, of which are read:
//   rope_scaling (transformers 4), where that is absent or empty rope_parameters (transformers 5);
//   rope_theta and original_max_position_embeddings beside it, where it does not have or
//   overrule them, as in transformers 5.
// `path` names the file in errors. Throws sq::Error on a type that is not computed, a value that
// is missing or out of range, and by name on a field of either object that the type does not have.
Rope ParseRope(const nlohmann::json& config, int64_t max_positions, int64_t head_dim,
               const std::string& path);

}  // namespace sq
