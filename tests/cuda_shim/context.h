// A stack of its own for each fiber, and going from one to another. By hand where that is a matter
// of a few registers: swapcontext asks the system twice each time, which made tests several times
// slower. It stays for other processors, and for AddressSanitizer, which knows it.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)

namespace sq::shim {

struct Context {
  void* stack_pointer = nullptr;
};

extern "C" void SqShimSwitch(void** from, void* to);

// `entry` must never return.
inline void Prepare(Context* context, char* stack, size_t bytes, void (*entry)()) {
  constexpr size_t kSaved = 6;  // registers
  const uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + bytes) / 16 * 16;
  auto* words = reinterpret_cast<uintptr_t*>(top) - 2 - kSaved;
  for (size_t i = 0; i < kSaved; ++i) words[i] = 0;
  words[kSaved] = reinterpret_cast<uintptr_t>(entry);
  words[kSaved + 1] = 0;
  context->stack_pointer = words;
}

inline void Switch(Context* from, Context* to) {
  SqShimSwitch(&from->stack_pointer, to->stack_pointer);
}

}  // namespace sq::shim

#else

#include <ucontext.h>

namespace sq::shim {

struct Context {
  ucontext_t context;
};

inline void Prepare(Context* context, char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context->context);
  context->context.uc_stack.ss_sp = stack;
  context->context.uc_stack.ss_size = bytes;
  context->context.uc_link = nullptr;
  makecontext(&context->context, entry, 0);
}

inline void Switch(Context* from, Context* to) { swapcontext(&from->context, &to->context); }

}  // namespace sq::shim

#endif
