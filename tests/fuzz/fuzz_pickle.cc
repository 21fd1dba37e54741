// A hostile pickle of a .pt file: nothing but sq::Error may come of it, and tensors lie inside
// their storages.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sq/base/error.h"
#include "sq/checkpoint/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int64_t bytes = static_cast<int64_t>(size);
  try {
    int64_t used = 0;
    const sq::PickledDict dict = sq::ParsePickledDict(data, bytes, "input", &used);
    if (used < 0 || used > bytes) std::abort();
    for (const sq::PickledTensor& tensor : dict.tensors) {
      const int64_t count = sq::ElementCount(tensor.shape, "input");
      const int64_t elements = dict.storages.at(tensor.storage).elements;
      if (tensor.storage_offset < 0 || count > elements - tensor.storage_offset) std::abort();
    }
  } catch (const sq::Error&) {
  }
  return 0;
}
