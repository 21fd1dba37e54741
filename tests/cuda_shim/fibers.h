// Runs a grid of CUDA threads on the calling thread: blocks one after another, the threads of a
// block as fibers that take turns at barriers and warp operations. What a test wants to know of a
// kernel without a GPU is here: indices, tails, barriers, what it reads before it waits for the
// grid before it. Not here: timing, caches, true concurrency.
//
// Fibers of a block run in an order that changes from turn to turn (SetScheduleSeed), so a result
// that lacks a barrier differs between seeds. A barrier that not all threads reach, and a warp
// operation that not all of its lanes reach, are errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace sq::shim {

struct Dim3 {
  unsigned x, y, z;
};

struct ThreadPlace {
  Dim3 thread, block, block_dim, grid_dim;
  unsigned lane, warp;  // of the flat thread index
};

// Of the fiber that runs; has a meaning only inside a kernel.
extern ThreadPlace running;

// The block's dynamic shared memory, aligned to 1024 bytes, and its size.
unsigned char* DynamicShared();
size_t DynamicSharedBytes();

// __syncthreads and __syncthreads_or.
void BlockBarrier();
bool BlockBarrierAny(bool given);

// The lanes of `mask` meet; each gives `bytes` (at most kMaxExchange) and then sees what every one
// of them gave: the result points at 32 slots of kMaxExchange bytes, valid until the lane's next
// meeting.
constexpr size_t kMaxExchange = 64;
const unsigned char* WarpExchange(uint32_t mask, const void* given, size_t bytes);

// cp.async of 16 bytes to an offset in dynamic shared memory, its groups, and waiting until no more
// than so many of the last groups are on their way. What is there is garbage from the call until
// the thread waits, and then what was in memory at the call.
void CopyLater(size_t to, const void* from);
void CommitCopies();
void WaitForCopies(size_t groups_on_their_way);

// Programmatic dependent launch, see StartGrid.
void WaitForPrevious();
void LetNextStart();

// A kernel to be run once for every thread. Shared memory holds garbage at the start of a block.
struct Launch {
  Dim3 grid, block;
  size_t shared_bytes;
  std::function<void()> kernel;
};
// A grid of which one block, chosen by the seed, has run until it waits for the grid before it: so
// what it has read before is what was there then, whatever grids that have not ended write.
struct StartedGrid;
std::shared_ptr<StartedGrid> StartGrid(const Launch& launch);
// Whether the block has let the next grid start; else that may start when this one no longer waits.
bool LetsNextStart(const StartedGrid& grid);
// Runs all that is left of it. Throws std::runtime_error on a barrier that is not reached by all.
void FinishGrid(StartedGrid* grid);
// The whole of a grid.
void RunGrid(const Launch& launch);

// Of the order in which fibers take turns. 0: by thread index.
void SetScheduleSeed(uint64_t seed);

}  // namespace sq::shim
