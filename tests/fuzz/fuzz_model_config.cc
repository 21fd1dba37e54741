// A hostile config.json: nothing but sq::Error may come of it, and what is read is in range.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sq/base/error.h"
#include "sq/checkpoint/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const sq::ModelConfig config =
        sq::ParseModelConfig(std::string(reinterpret_cast<const char*>(data), size), "input");
    const bool sound = config.hidden_size > 0 && config.num_layers > 0 && config.num_kv_heads > 0 &&
                       config.num_heads % config.num_kv_heads == 0 && config.head_dim > 0 &&
                       config.head_dim % 2 == 0 && config.vocab_size > 0 && config.rope.theta > 0 &&
                       config.rope.factor > 0 && config.norm_epsilon > 0 &&
                       config.bos_token_id >= -1 &&
                       (config.attention_windows.empty() ||
                        static_cast<int64_t>(config.attention_windows.size()) == config.num_layers);
    if (!sound) std::abort();
  } catch (const sq::Error&) {
  }
  return 0;
}
