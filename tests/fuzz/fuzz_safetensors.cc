// A hostile .safetensors file: nothing but sq::Error may come of it, and what is read lies inside
// it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sq/base/error.h"
#include "sq/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const int64_t bytes = static_cast<int64_t>(size);
    int64_t sum = 0;
    for (const sq::FileTensor& tensor : sq::ParseSafetensorsHeader(data, bytes, "input").tensors) {
      if (tensor.offset < 8 || tensor.bytes < 0 || tensor.bytes > bytes - tensor.offset)
        std::abort();
      if (sq::ElementCount(tensor.shape, "input") * sq::DTypeBytes(tensor.dtype) != tensor.bytes) {
        std::abort();
      }
      sum += tensor.bytes;
    }
    if (sum > bytes) std::abort();
  } catch (const sq::Error&) {
  }
  return 0;
}
