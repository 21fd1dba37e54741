// Activations of many tokens between decoder layers: in the device's memory, in the host's when
// that will not do, or in an unnamed file when they are too many for either. The system pages such
// a file in and out, so what runs over it need not know.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sq/model/device.h"

namespace sq {

struct ActivationMemory {
  int64_t max_bytes = 0;  // more than this go to a file; 0: no bound
  // Where the file lies; it has no name and ends with the process. Empty, or where no such file can
  // be: TMPDIR, /var/tmp, /tmp. A full disk in the folder given is an error.
  std::string spill_folder;
  // More than this do not go to a device; 0: half of what it has free.
  int64_t max_device_bytes = 0;
};

// What a run may use when the user allows `max_memory` bytes for activations: of the device's
// memory where it computes on one, else of the host's. 0: half of what is free.
ActivationMemory MemoryWithin(int64_t max_memory, const Device& device,
                              const std::string& spill_folder = "");

// [slots][tokens][hidden] fp32. Owns them.
class ActivationStore {
 public:
  // Throws sq::Error, saying how much was wanted, when there is no room.
  ActivationStore(int64_t slots, int64_t tokens, int64_t hidden, const ActivationMemory& memory,
                  const Device& device);
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  // A view [tokens, hidden] of one slot, on the device or in the host's memory, wherever all slots
  // are; it must not outlive the store.
  at::Tensor Slot(int64_t slot) const;
  // Gives the slot's memory back; its values are lost, and a device's slot must not be used again.
  void Drop(int64_t slot);

  // What to try when the device has no room for something else.
  std::string MemoryAdvice() const;

 private:
  int64_t tokens_, hidden_, bytes_ = 0;
  std::vector<at::Tensor> on_device_;  // one a slot; empty: the host's memory, below
  float* data_ = nullptr;
};

}  // namespace sq
