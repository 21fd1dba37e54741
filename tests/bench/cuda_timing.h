// Timing on a CUDA device: many calls captured into one graph, replayed; the median of the replays.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace sq::bench {

struct Timing {
  double seconds = 0;          // of a call: the median replay's
  double least = 0, most = 0;  // of all replays
};

// call(i, stream) for i = 0 .. calls - 1 becomes one graph. The caller lets i choose among copies
// of its data, so that nothing is found in a cache that would not be there in a model.
inline Timing Time(int calls, int replays, const std::function<void(int, cudaStream_t)>& call) {
  cudaStream_t stream;
  cuda::Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  call(0,
       stream);  // what is done once only, such as asking for an algorithm, is not to be captured
  cuda::Check(cudaStreamSynchronize(stream), "first call");
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cuda::Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < calls; ++i) call(i, stream);
  cuda::Check(cudaStreamEndCapture(stream, &graph), "capture");
  cuda::Check(cudaGraphInstantiate(&executable, graph), "graph");
  cudaEvent_t begin, end;
  cuda::Check(cudaEventCreate(&begin), "event");
  cuda::Check(cudaEventCreate(&end), "event");
  std::vector<double> seconds;
  for (int replay = 0; replay < replays + 2; ++replay) {
    cuda::Check(cudaEventRecord(begin, stream), "event");
    cuda::Check(cudaGraphLaunch(executable, stream), "replay");
    cuda::Check(cudaEventRecord(end, stream), "event");
    cuda::Check(cudaEventSynchronize(end), "replay");
    float milliseconds = 0;
    cuda::Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (replay >= 2) seconds.push_back(milliseconds / 1000.0 / calls);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

}  // namespace sq::bench
