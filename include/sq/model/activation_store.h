// Activations of many tokens between decoder layers: in memory, or in an unnamed file when they are
// too many. The system pages such a file in and out, so what runs over it need not know.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace sq {

struct ActivationMemory {
  int64_t max_bytes = 0;     // more than this go to a file; 0: no bound
  std::string spill_folder;  // where the file lies; it has no name and ends with the process
};

// [slots][tokens][hidden] fp32. Owns them.
class ActivationStore {
 public:
  // Throws sq::Error, saying how much was wanted, when there is no room.
  ActivationStore(int64_t slots, int64_t tokens, int64_t hidden, const ActivationMemory& memory);
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  // A view [tokens, hidden] of one slot; it must not outlive the store.
  at::Tensor Slot(int64_t slot) const;
  // Gives the slot's memory back; its values are lost.
  void Drop(int64_t slot) const;

 private:
  int64_t tokens_, hidden_, bytes_ = 0;
  float* data_ = nullptr;
};

}  // namespace sq
