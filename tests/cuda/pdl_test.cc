// The emulation of programmatic dependent launch, by which every other test here finds a kernel
// that reads or writes too early.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/runtime.h"

#ifdef SQ_CUDA_EMULATED
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/streams.h"
#include "tests/support/cuda_memory.h"

namespace sq::cuda {
namespace {

constexpr int kBlocks = 3, kThreads = 64, kCount = kBlocks * kThreads;

int Thread() { return static_cast<int>(shim::running.block.x * kThreads + shim::running.thread.x); }

// out[i] = in[i] + 1, read before or after it waits for the kernel before it.
void AddOne(const float* in, float* out, bool lets_first, bool reads_first) {
  if (lets_first) LetNextStart();
  float value = in[Thread()];
  __syncthreads();
  WaitForPrevious();
  if (!lets_first) LetNextStart();
  if (!reads_first) value = in[Thread()];
  out[Thread()] = value + 1;
}

// A chain of kernels over buffers of zeros; the last one's sums of what each block has.
std::vector<float> Chain(int length, bool lets_first, bool reads_first, bool pdl) {
  Stream stream;
  std::vector<Buffer<float>> buffers;
  for (int i = 0; i <= length; ++i)
    buffers.emplace_back(std::vector<float>(kCount, 0), "test buffer");
  LaunchShape shape;
  shape.grid = dim3(kBlocks);
  shape.block = dim3(kThreads);
  shape.pdl = pdl;
  for (int i = 0; i < length; ++i) {
    Launch("test", shape, stream.handle, AddOne, buffers[i].data(), buffers[i + 1].data(),
           lets_first, reads_first);
  }
  Check(cudaStreamSynchronize(stream.handle), "test");
  const std::vector<float> last = buffers.back().ToHost();
  std::vector<float> sums(kBlocks, 0);
  for (int i = 0; i < kCount; ++i) sums[i / kThreads] += last[i] / kThreads;
  return sums;
}

TEST(CudaPdl, KernelsThatWaitSeeWhatWasWritten) {
  for (const uint64_t seed : {0, 1, 2}) {
    test::SetScheduleSeed(seed);
    for (const bool lets_first : {false, true}) {
      for (const int length : {1, 2, 20})
        EXPECT_EQ(Chain(length, lets_first, false, true),
                  std::vector<float>(kBlocks, static_cast<float>(length)));
    }
  }
  test::SetScheduleSeed(0);
}

// One block of each kernel is too early.
TEST(CudaPdl, KernelsThatReadBeforeTheyWaitDoNot) {
  for (const bool lets_first : {false, true})
    EXPECT_EQ(Chain(20, lets_first, true, true), (std::vector<float>{1, 20, 20}));
  EXPECT_EQ(Chain(20, true, true, false), (std::vector<float>{20, 20, 20}));
}

}  // namespace
}  // namespace sq::cuda
#endif
