// A hostile pickle of a .pt file: nothing but sq::Error may come of it, and tensors lie inside
// their storages.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sq/base/error.h"
#include "sq/checkpoint/state_dict.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const sq::StateDict dict = sq::ParseStateDict(data, static_cast<int64_t>(size), "input");
    for (const sq::PickledTensor& tensor : dict.tensors) {
      const int64_t count = sq::ElementCount(tensor.shape, "input");
      if (tensor.first < 0 || count > tensor.storage_elements - tensor.first) std::abort();
    }
  } catch (const sq::Error&) {
  }
  return 0;
}
