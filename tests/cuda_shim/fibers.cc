#include "cuda_shim/fibers.h"

#include <algorithm>
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

enum class State { kReady, kAtBarrier, kAtExchange, kDone };

struct PendingCopy {
  size_t to;
  const void* from;
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
  const std::function<void()>* kernel = nullptr;
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

Block block_state;  // kernels run one at a time, see RunGrid
bool inside = false;
uint64_t schedule_seed = 0;

void Yield(State state) {
  Fiber* self = block_state.fiber;
  self->state = state;
  Switch(&self->context, &block_state.scheduler);
}

void FiberMain() {
  Fiber* self = block_state.fiber;
  try {
    (*block_state.kernel)();
  } catch (...) {
    if (!block_state.failure) block_state.failure = std::current_exception();
  }
  self->state = State::kDone;
  Switch(&self->context, &block_state.scheduler);
}

void Start(Fiber* fiber, char* stack) {
  Prepare(&fiber->context, stack, kStackBytes, FiberMain);
  fiber->state = State::kReady;
}

// Lets everybody go who waits for the block's barrier, when all that still run do.
bool ReleaseBarrier() {
  bool any = false;
  for (const Fiber& fiber : block_state.fibers) {
    if (fiber.state == State::kReady || fiber.state == State::kAtExchange) return false;
    any = any || fiber.state == State::kAtBarrier;
  }
  for (Fiber& fiber : block_state.fibers) {
    if (fiber.state == State::kAtBarrier) fiber.state = State::kReady;
  }
  return any;
}

void RunBlock(std::mt19937_64* random) {
  std::vector<size_t> order(block_state.fibers.size());
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
      Fiber& fiber = block_state.fibers[i];
      if (fiber.state == State::kReady && (left_out >> (i / kLanes % 64) & 1) != 0) {
        waiting = true;
      } else if (fiber.state == State::kReady) {
        ran = true;
        block_state.fiber = &fiber;
        running = fiber.place;
        Switch(&block_state.scheduler, &fiber.context);
        if (block_state.failure) return;
      }
      all_done = all_done && fiber.state == State::kDone;
    }
    if (all_done) return;
    if (!ran && !waiting && !ReleaseBarrier()) {
      throw std::runtime_error(
          "CUDA shim: some threads wait at a barrier or a warp operation that others never reach");
    }
  }
}

}  // namespace

ThreadPlace running;

unsigned char* DynamicShared() { return block_state.shared_begin; }
size_t DynamicSharedBytes() { return block_state.shared_bytes; }
void BlockBarrier() { Yield(State::kAtBarrier); }

bool BlockBarrierAny(bool given) {
  if (given) block_state.any = true;
  BlockBarrier();
  const bool any = block_state.any;
  BlockBarrier();
  block_state.any = false;  // by every thread, before any can come here again
  BlockBarrier();
  return any;
}

const unsigned char* WarpExchange(uint32_t mask, const void* given, size_t bytes) {
  Fiber* self = block_state.fiber;
  const uint32_t bit = 1u << self->place.lane;
  if ((mask & bit) == 0 || bytes > kMaxExchange) {
    throw std::runtime_error(
        "CUDA shim: a lane outside the mask of a warp operation, or too much given");
  }
  Warp& warp = block_state.warps[self->place.warp];
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
    for (size_t lane = 0; lane < kLanes && first + lane < block_state.fibers.size(); ++lane) {
      Fiber& other = block_state.fibers[first + lane];
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
  Fiber* self = block_state.fiber;
  std::memset(DynamicShared() + to, 0xff, 16);
  self->copies.push_back({to, from, self->groups});
}

void CommitCopies() { ++block_state.fiber->groups; }

void WaitForCopies(size_t groups_on_their_way) {
  Fiber* self = block_state.fiber;
  auto left = self->copies.begin();
  for (; left != self->copies.end() && left->group + groups_on_their_way < self->groups; ++left)
    std::memcpy(DynamicShared() + left->to, left->from, 16);
  self->copies.erase(self->copies.begin(), left);
}

void SetScheduleSeed(uint64_t seed) { schedule_seed = seed; }

void RunGrid(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& kernel) {
  if (inside) throw std::runtime_error("CUDA shim: one grid at a time");
  inside = true;
  struct Leave {
    ~Leave() { inside = false; }
  } leave;
  const size_t threads = size_t{block.x} * block.y * block.z;
  block_state.kernel = &kernel;
  block_state.fibers.resize(threads);
  while (block_state.stacks.size() < threads) {
    block_state.stacks.emplace_back(new char[kStackBytes]);
  }
  block_state.warps.resize((threads + kLanes - 1) / kLanes);
  block_state.shared.resize(shared_bytes + kSharedAlignment);
  const auto address = reinterpret_cast<uintptr_t>(block_state.shared.data());
  block_state.shared_begin = block_state.shared.data() +
                             (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment;
  block_state.shared_bytes = shared_bytes;
  block_state.failure = nullptr;
  std::mt19937_64 random(schedule_seed);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        for (size_t i = 0; i < threads; ++i) {
          Fiber& fiber = block_state.fibers[i];
          const auto flat = static_cast<unsigned>(i);
          fiber.place = {{flat % block.x, flat / block.x % block.y, flat / block.x / block.y},
                         {x, y, z},
                         block,
                         grid,
                         flat % kLanes,
                         flat / kLanes};
          fiber.copies.clear();
          fiber.groups = 0;
          Start(&fiber, block_state.stacks[i].get());
        }
        for (Warp& warp : block_state.warps) warp.arrived = 0;
        std::memset(block_state.shared_begin, 0xff, shared_bytes);  // NaN, in every float type
        RunBlock(&random);
        if (block_state.failure) std::rethrow_exception(block_state.failure);
      }
    }
  }
}

}  // namespace sq::shim
