#include "kernels/cuda/runtime.h"

#include <string>

namespace sq::cuda {

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // not to be found again by the next call
  throw Error(StrCat("CUDA: ", what, ": ", cudaGetErrorString(error)));
}

void* AllocateBytes(int64_t bytes, const char* what) {
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory of the device");
    throw OutOfMemory(StrCat("CUDA: out of memory: ", what, " wants ", bytes, " bytes, ",
                             free_bytes, " of ", total_bytes, " are free"));
  }
  Check(error, what);
  return pointer;
}

void FreeBytes(void* pointer) { cudaFree(pointer); }

}  // namespace sq::cuda
