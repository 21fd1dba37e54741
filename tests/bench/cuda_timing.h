// Timing on a CUDA device: many calls captured into one graph, replayed; the median of the replays.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/cuda/streams.h"

namespace sq::bench {

struct Timing {
  double seconds = 0;          // of a call: the median replay's
  double least = 0, most = 0;  // of all replays
};

// call(i, stream) for i = 0 .. calls - 1 becomes one graph. The caller lets i choose among copies
// of its data, so that nothing is found in a cache that would not be there in a model.
inline Timing Time(int calls, int replays, const std::function<void(int, cudaStream_t)>& call) {
  const cuda::Stream stream;
  call(0,
       stream.handle);  // what is done once, such as choosing an algorithm, is not to be captured
  cuda::Check(cudaStreamSynchronize(stream.handle), "first call");
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cuda::Check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < calls; ++i) call(i, stream.handle);
  cuda::Check(cudaStreamEndCapture(stream.handle, &graph), "capture");
  cuda::Check(cudaGraphInstantiate(&executable, graph), "graph");
  const cuda::Event begin, end;
  std::vector<double> seconds;
  for (int replay = 0; replay < replays + 2; ++replay) {
    begin.Record(stream.handle);
    cuda::Check(cudaGraphLaunch(executable, stream.handle), "replay");
    end.Record(stream.handle);
    const double all = cuda::SecondsBetween(begin, end);
    if (replay >= 2) seconds.push_back(all / calls);
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

}  // namespace sq::bench
