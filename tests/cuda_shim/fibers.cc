#include "cuda_shim/fibers.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "cuda_shim/context.h"

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
// Saves what a function must keep, and takes it from the other stack.
asm(R"(
.text
.globl SqShimSwitch
.type SqShimSwitch, @function
SqShimSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size SqShimSwitch, . - SqShimSwitch
)");
#endif

namespace sq::shim {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
constexpr unsigned kLanes = 32;
constexpr size_t kSharedAlignment = 1024;
// Two are enough where all lanes of a warp meet; more for lanes that meet in groups of their own.
constexpr unsigned kSets = 8;

enum class State { kReady, kAtBarrier, kAtExchange, kAtPrevious, kDone };

struct PendingCopy {
  size_t to;
  std::array<unsigned char, 16> bytes;
  uint64_t group;
};

struct Fiber {
  Context context;
  ThreadPlace place;
  State state = State::kReady;
  std::vector<PendingCopy> copies;
  uint64_t groups = 0;  // committed
};

struct Warp {
  uint32_t arrived = 0, mask = 0;
  // Sets of slots in turn: a lane may give for the next meeting while others still read from the
  // last.
  unsigned set = 0;
  alignas(16) unsigned char slots[kSets][kLanes][kMaxExchange];
};

struct Block {
  const Launch* launch = nullptr;
  bool waits = false;  // for the grid before it
  bool lets_next_start = false;
  std::vector<Fiber> fibers;
  std::vector<std::unique_ptr<char[]>> stacks;  // never fewer: blocks of other sizes come and go
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  unsigned char* shared_begin = nullptr;
  size_t shared_bytes = 0;
  bool any = false;  // of BlockBarrierAny
  Context scheduler;
  Fiber* fiber = nullptr;  // the one that runs
  std::exception_ptr failure;
};

Block* current = nullptr;  // the one that runs: one at a time
// Outlives the streams that may still have grids when the program ends.
auto& idle = *new std::vector<std::unique_ptr<Block>>;
uint64_t schedule_seed = 0;

std::unique_ptr<Block> TakeBlock() {
  if (idle.empty()) return std::make_unique<Block>();
  std::unique_ptr<Block> block = std::move(idle.back());
  idle.pop_back();
  return block;
}

void Yield(State state) {
  Fiber* self = current->fiber;
  self->state = state;
  Switch(&self->context, &current->scheduler);
}

void FiberMain() {
  Fiber* self = current->fiber;
  try {
    current->launch->kernel();
  } catch (...) {
    if (!current->failure) current->failure = std::current_exception();
  }
  self->state = State::kDone;
  Switch(&self->context, &current->scheduler);
}

void Start(Fiber* fiber, char* stack) {
  Prepare(&fiber->context, stack, kStackBytes, FiberMain);
  fiber->state = State::kReady;
}

// Lets everybody go who waits for the block's barrier, when all that still run do.
bool ReleaseBarrier() {
  bool any = false;
  for (const Fiber& fiber : current->fibers) {
    if (fiber.state != State::kAtBarrier && fiber.state != State::kDone) return false;
    any = any || fiber.state == State::kAtBarrier;
  }
  for (Fiber& fiber : current->fibers) {
    if (fiber.state == State::kAtBarrier) fiber.state = State::kReady;
  }
  return any;
}

// Block number `index` of the grid, about to begin.
void Prepare(const Launch& launch, size_t index, Block* out) {
  current = out;
  const Dim3 &grid = launch.grid, &block = launch.block;
  const size_t threads = size_t{block.x} * block.y * block.z;
  current->launch = &launch;
  current->waits = current->lets_next_start = false;
  current->fibers.resize(threads);
  while (current->stacks.size() < threads) {
    current->stacks.emplace_back(new char[kStackBytes]);
  }
  current->warps.resize((threads + kLanes - 1) / kLanes);
  current->shared.resize(launch.shared_bytes + kSharedAlignment);
  const auto address = reinterpret_cast<uintptr_t>(current->shared.data());
  current->shared_begin =
      current->shared.data() + (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment;
  current->shared_bytes = launch.shared_bytes;
  current->failure = nullptr;
  const Dim3 place = {static_cast<unsigned>(index % grid.x),
                      static_cast<unsigned>(index / grid.x % grid.y),
                      static_cast<unsigned>(index / grid.x / grid.y)};
  for (size_t i = 0; i < threads; ++i) {
    Fiber& fiber = current->fibers[i];
    const auto flat = static_cast<unsigned>(i);
    fiber.place = {{flat % block.x, flat / block.x % block.y, flat / block.x / block.y},
                   place,
                   block,
                   grid,
                   flat % kLanes,
                   flat / kLanes};
    fiber.copies.clear();
    fiber.groups = 0;
    Start(&fiber, current->stacks[i].get());
  }
  for (Warp& warp : current->warps) warp.arrived = 0;
  std::memset(current->shared_begin, 0xff, launch.shared_bytes);  // NaN, in every float type
}

// Until all have ended, or, of a block that waits for the grid before it, no thread can go on.
void RunBlock(Block* block, std::mt19937_64* random) {
  current = block;
  std::vector<size_t> order(current->fibers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  while (true) {
    // With a seed a turn leaves out about half of the warps, so that some run far ahead of others.
    uint64_t left_out = 0;
    if (schedule_seed != 0) {
      std::shuffle(order.begin(), order.end(), *random);
      left_out = (*random)();
    }
    bool ran = false, all_done = true, waiting = false;
    for (const size_t i : order) {
      Fiber& fiber = current->fibers[i];
      if (fiber.state == State::kReady && (left_out >> (i / kLanes % 64) & 1) != 0) {
        waiting = true;
      } else if (fiber.state == State::kReady) {
        ran = true;
        current->fiber = &fiber;
        running = fiber.place;
        Switch(&current->scheduler, &fiber.context);
        if (current->failure) std::rethrow_exception(current->failure);
      }
      all_done = all_done && fiber.state == State::kDone;
    }
    if (all_done) return;
    if (!ran && !waiting && !ReleaseBarrier()) {
      if (current->waits) return;
      throw std::runtime_error(
          "CUDA shim: some threads wait at a barrier or a warp operation that others never reach");
    }
  }
}

}  // namespace

ThreadPlace running;

unsigned char* DynamicShared() { return current->shared_begin; }
size_t DynamicSharedBytes() { return current->shared_bytes; }
void BlockBarrier() { Yield(State::kAtBarrier); }

bool BlockBarrierAny(bool given) {
  if (given) current->any = true;
  BlockBarrier();
  const bool any = current->any;
  BlockBarrier();
  current->any = false;  // by every thread, before any can come here again
  BlockBarrier();
  return any;
}

const unsigned char* WarpExchange(uint32_t mask, const void* given, size_t bytes) {
  Fiber* self = current->fiber;
  const uint32_t bit = 1u << self->place.lane;
  if ((mask & bit) == 0 || bytes > kMaxExchange) {
    throw std::runtime_error(
        "CUDA shim: a lane outside the mask of a warp operation, or too much given");
  }
  Warp& warp = current->warps[self->place.warp];
  if (warp.arrived == 0) warp.mask = mask;
  if (warp.mask != mask)
    throw std::runtime_error("CUDA shim: lanes differ on the mask of a warp operation");
  auto* slots = warp.slots[warp.set];
  std::memcpy(slots[self->place.lane], given, bytes);
  warp.arrived |= bit;
  if (warp.arrived != mask) {
    Yield(State::kAtExchange);
  } else {
    warp.arrived = 0;
    warp.set = (warp.set + 1) % kSets;
    const size_t first = self->place.warp * kLanes;
    for (size_t lane = 0; lane < kLanes && first + lane < current->fibers.size(); ++lane) {
      Fiber& other = current->fibers[first + lane];
      if ((mask >> lane & 1) != 0 && &other != self) other.state = State::kReady;
    }
  }
  return &slots[0][0];
}

void CopyLater(size_t to, const void* from) {
  if (to % 16 != 0 || to + 16 > DynamicSharedBytes() ||
      reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    throw std::runtime_error("CUDA shim: a copy to outside shared memory, or unaligned");
  }
  Fiber* self = current->fiber;
  std::memset(DynamicShared() + to, 0xff, 16);
  self->copies.push_back({to, {}, self->groups});
  std::memcpy(self->copies.back().bytes.data(), from, 16);
}

void CommitCopies() { ++current->fiber->groups; }

void WaitForCopies(size_t groups_on_their_way) {
  Fiber* self = current->fiber;
  auto left = self->copies.begin();
  for (; left != self->copies.end() && left->group + groups_on_their_way < self->groups; ++left)
    std::memcpy(DynamicShared() + left->to, left->bytes.data(), 16);
  self->copies.erase(self->copies.begin(), left);
}

void SetScheduleSeed(uint64_t seed) { schedule_seed = seed; }

void WaitForPrevious() {
  if (current->waits) Yield(State::kAtPrevious);
}
void LetNextStart() { current->lets_next_start = true; }

struct StartedGrid {
  Launch launch;
  std::mt19937_64 random{schedule_seed};
  size_t blocks;
  size_t ahead;  // the number of the block that has begun
  std::unique_ptr<Block> block;

  explicit StartedGrid(Launch given)
      : launch(std::move(given)),
        blocks(size_t{launch.grid.x} * launch.grid.y * launch.grid.z),
        ahead(schedule_seed == 0 ? 0 : random() % blocks),
        block(TakeBlock()) {}
  ~StartedGrid() { idle.push_back(std::move(block)); }
};

std::shared_ptr<StartedGrid> StartGrid(const Launch& launch) {
  auto grid = std::make_shared<StartedGrid>(launch);
  Block* const block = grid->block.get();
  Prepare(grid->launch, grid->ahead, block);
  block->waits = true;
  RunBlock(block, &grid->random);
  return grid;
}

bool LetsNextStart(const StartedGrid& grid) { return grid.block->lets_next_start; }

void FinishGrid(StartedGrid* grid) {
  Block* const block = grid->block.get();
  block->waits = false;
  for (Fiber& fiber : block->fibers) {
    if (fiber.state == State::kAtPrevious) fiber.state = State::kReady;
  }
  RunBlock(block, &grid->random);
  for (size_t i = 0; i < grid->blocks; ++i) {
    if (i == grid->ahead) continue;
    Prepare(grid->launch, i, block);
    RunBlock(block, &grid->random);
  }
}

void RunGrid(const Launch& launch) {
  StartedGrid grid(launch);
  Prepare(grid.launch, grid.ahead, grid.block.get());
  FinishGrid(&grid);
}

}  // namespace sq::shim
