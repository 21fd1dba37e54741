// Where a thread block's dynamic shared memory begins. The LUT-GEMV has that address in its
// instructions (kSharedWindow of ptx.cuh), which saves an addition for each pair of weights.
#pragma once

#include <cstdint>

namespace sq::cuda {

// Offsets in bytes in the window of shared memory.
struct SharedWindow {
  uint32_t found = 0;     // where dynamic shared memory begins on the device
  uint32_t expected = 0;  // kSharedWindow of the machine code that the device runs
};

// Asks the current device, by a kernel of one thread; waits for it.
SharedWindow ProbeSharedWindow();

// Throws sq::Error where the two differ: whatever assembled the machine code, such as a driver that
// compiles PTX, reserves more or less shared memory than the compilers known here. The assembler
// makes the address a constant, so memory that is reserved at run time only is not seen.
void CheckSharedWindow(const SharedWindow& window);

}  // namespace sq::cuda
