// Instructions that CUDA C++ has no function for, or whose exact form matters to the kernels.
// tests/cuda_shim/ptx.h has the same functions for the host.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#ifdef __CUDACC__

namespace sq::cuda {

// The block's dynamic shared memory.
__device__ __forceinline__ unsigned char* DynamicShared() {
  extern __shared__ __align__(1024) unsigned char dynamic_shared[];
  return dynamic_shared;
}

// Address of shared memory in its own 32-bit window, and reads from there.
__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}
template <int offset>
__device__ __forceinline__ uint32_t LoadShared(uint32_t address) {
  uint32_t value;
  asm("ld.shared.u32 %0, [%1+%2];" : "=r"(value) : "r"(address), "n"(offset) : "memory");
  return value;
}

// The same for 128 bits.
__device__ __forceinline__ void LoadSharedFour(uint32_t address, uint32_t* value) {
  asm("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(value[0]), "=r"(value[1]), "=r"(value[2]), "=r"(value[3])
      : "r"(address)
      : "memory");
}
__device__ __forceinline__ uint2 LoadSharedTwo(uint32_t address) {
  uint2 value;
  asm("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(value.x), "=r"(value.y) : "r"(address) : "memory");
  return value;
}
// 16 bits, in the lower half.
__device__ __forceinline__ uint32_t LoadSharedHalf(uint32_t address) {
  uint16_t value;
  asm("ld.shared.u16 %0, [%1];" : "=h"(value) : "r"(address) : "memory");
  return value;
}

// cp.async: copies 128 bits to shared memory. The thread sees them after it has waited, its warp
// after a further barrier. CommitCopies closes a group of all copies since the last one; groups
// complete in order. WaitForCopies<n> waits until at most the last n groups are in flight. Loads
// into registers cannot be waited for in this way: machine code has six scoreboards, and in
// practice all global loads of a loop share one, so waiting for the oldest load waits for the
// newest too.
__device__ __forceinline__ void CopyToShared(uint32_t address, const uint4* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int groups>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}
__device__ __forceinline__ void WaitForAllCopies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

// Where dynamic shared memory begins in a kernel that has no static shared memory: behind what the
// system reserves. The compiler knows the address but does not offer it as a constant expression,
// so the host verifies it once for each device (matmul/shared_window.h).
#if __CUDA_ARCH__ >= 900
constexpr uint32_t kSharedWindow = 1024;
#else
constexpr uint32_t kSharedWindow = 0;
#endif

// PRMT: each of the four bytes of the result is byte (selector nibble & 7) of {b, a}, or its sign
// where the nibble's high bit is set. Nibble 0 selects the lowest byte.
__device__ __forceinline__ uint32_t Permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t result;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(selector));
  return result;
}

// The four products of a's and b's bytes, and c.
__device__ __forceinline__ uint32_t DotBytes(uint32_t a, uint32_t b, uint32_t c) {
  return __dp4a(a, b, c);
}

// value * factor: for a factor of 0 or 1 a choice that the multiplier makes, not the integer pipe.
__device__ __forceinline__ uint32_t Times(uint32_t value, uint32_t factor) {
  uint32_t result;
  asm("mul.lo.u32 %0, %1, %2;" : "=r"(result) : "r"(value), "r"(factor));
  return result;
}

// 128 bits that this kernel reads once: kept out of the first-level cache.
__device__ __forceinline__ uint4 LoadOnce(const uint4* global) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(global));
  return value;
}

// 128 bits where `wanted`, else zeros; no jump.
__device__ __forceinline__ uint4 LoadIf(bool wanted, const uint4* global) {
  uint4 value = {0, 0, 0, 0};
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.u32 p, %5, 0;\n@p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(value.x), "+r"(value.y), "+r"(value.z), "+r"(value.w)
      : "l"(global), "r"(static_cast<uint32_t>(wanted))
      : "memory");
  return value;
}

// Prefetches the 32 bytes around an address into L2.
__device__ __forceinline__ void Prefetch(const void* global) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}

// Loads a value that another thread block of this launch has written.
__device__ __forceinline__ float LoadFresh(const float* global) { return __ldcg(global); }

// D += A B of a warp, m16n8k16, fp16 to fp32, the lower k in the lower half of a word.
// Lane l = 4 g + q holds
//   a[0]: row g,     k 2q, 2q+1
//   a[1]: row g + 8, k 2q, 2q+1
//   a[2]: row g,     k 2q+8, 2q+9
//   a[3]: row g + 8, k 2q+8, 2q+9
//   b[0]: k 2q, 2q+1, column g
//   b[1]: k 2q+8, 2q+9, column g
//   d[0], d[1]: row g,     columns 2q, 2q+1
//   d[2], d[3]: row g + 8, columns 2q, 2q+1
__device__ __forceinline__ void MultiplyAdd(float (&d)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same for m16n8k8: a[0], a[1] and b as a[0], a[1] and b[0] there.
__device__ __forceinline__ void MultiplyAdd(float (&d)[4], const uint32_t (&a)[2], uint32_t b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, "
      "%2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b));
}

// Programmatic dependent launch: waits for the results of the previous kernel on the stream, and
// lets the next one start. Both do nothing in a kernel launched without LaunchShape::pdl.
__device__ __forceinline__ void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void LetNextStart() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

}  // namespace sq::cuda

#else
#include "cuda_shim/ptx.h"
#endif
