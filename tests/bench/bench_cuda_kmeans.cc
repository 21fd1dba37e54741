// Time of the exact k-means of whole matrices on a CUDA device, for the shapes of LLaMA-2-7B:
// Student-t(8) weights rounded to fp16, lognormal sensitivities (sigma 1 and 3 in turn).
//
//   bench_cuda_kmeans [K] [REPEATS]     default 16 5
//
// First compares a sample of rows with the CPU's bytes; differences end the program with 1. Then a
// line a shape: median seconds of CudaKmeans::Cluster (from host memory to host memory), its rows a
// second, milliseconds of each kernel for one batch, and seconds of QuantizeLayer with 0.45 % of
// outliers; at the end the sums over the model's 224 matrices. Reading and writing files are not in
// it.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/cuda/kmeans/kmeans.h"
#include "sq/base/parallel.h"
#include "sq/base/stopwatch.h"
#include "sq/kernels/cuda_device.h"
#include "sq/kernels/cuda_kmeans.h"
#include "sq/quant/kmeans1d.h"
#include "sq/quant/quantize_layer.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

struct Shape {
  const char* name;
  int64_t rows, n;
  int in_model;
};
constexpr Shape kShapes[] = {{"q, k, v, o", 4096, 4096, 4 * 32},
                             {"gate, up", 11008, 4096, 2 * 32},
                             {"down", 4096, 11008, 32}};
constexpr int64_t kSample = 97;  // every so manieth row is checked

struct Matrix {
  int64_t rows, n;
  std::vector<float> weights, sensitivities;

  MatrixView<const float> Weights() const { return {weights.data(), rows, n}; }
  MatrixView<const float> Sensitivities() const { return {sensitivities.data(), rows, n}; }
};

Matrix MakeMatrix(int64_t rows, int64_t n) {
  Matrix matrix{rows, n, std::vector<float>(static_cast<size_t>(rows * n)), {}};
  matrix.sensitivities = matrix.weights;
  ParallelFor(rows, [&](int64_t r) {
    const test::Row row = test::StudentRow(n, r % 2 == 0 ? 1 : 3, static_cast<uint32_t>(r));
    std::copy(row.weights.begin(), row.weights.end(), matrix.weights.begin() + r * n);
    std::copy(row.sensitivity.begin(), row.sensitivity.end(), matrix.sensitivities.begin() + r * n);
  });
  return matrix;
}

double MedianSeconds(int repeats, const std::function<void()>& body) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const Stopwatch watch;
    body();
    seconds.push_back(watch.Seconds());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

// Rows whose bytes are not the CPU's, of the sample.
int64_t Differences(const Matrix& matrix, int k, const std::vector<float>& centroids,
                    const std::vector<uint8_t>& indices) {
  std::vector<int64_t> differ(static_cast<size_t>((matrix.rows + kSample - 1) / kSample));
  ParallelFor(static_cast<int64_t>(differ.size()), [&](int64_t s) {
    const int64_t r = s * kSample, n = matrix.n;
    Kmeans1dWorkspace workspace;
    std::vector<float> expected(k);
    std::vector<uint8_t> index(n);
    Kmeans1d(matrix.Weights().Row(r), matrix.Sensitivities().Row(r), n, k, &workspace,
             expected.data(), index.data());
    differ[s] = !std::equal(expected.begin(), expected.end(), centroids.begin() + r * k) ||
                !std::equal(index.begin(), index.end(), indices.begin() + r * n);
  });
  int64_t sum = 0;
  for (const int64_t d : differ) sum += d;
  return sum;
}

// Milliseconds of each kernel for the first rows of a matrix, as many as one batch has.
std::vector<float> KernelMilliseconds(const Matrix& matrix, int k, int repeats) {
  const int64_t rows = std::min(matrix.rows, CudaKmeans::kBatchWeights / matrix.n);
  const size_t bytes = static_cast<size_t>(rows * matrix.n) * sizeof(float);
  cuda::KmeansMemory memory;
  const cuda::KmeansBatch batch = memory.MakeRoom(rows, matrix.n, k);
  cuda::Check(cudaMemcpy(memory.input(), matrix.weights.data(), bytes, cudaMemcpyHostToDevice),
              "copy");
  cuda::Check(cudaMemcpy(memory.input() + rows * matrix.n, matrix.sensitivities.data(), bytes,
                         cudaMemcpyHostToDevice),
              "copy");
  constexpr void (*kKernels[])(const cuda::KmeansBatch&, cudaStream_t) = {
      cuda::SortRows, cuda::BuildPoints, cuda::FindCentroids, cuda::AssignNearest};
  constexpr size_t kCount = std::size(kKernels);
  cudaEvent_t events[kCount + 1];
  for (cudaEvent_t& event : events) cuda::Check(cudaEventCreate(&event), "event");
  std::vector<float> least(kCount, 1e30f);
  for (int i = 0; i < repeats; ++i) {
    cuda::Check(cudaEventRecord(events[0], nullptr), "event");
    for (size_t j = 0; j < kCount; ++j) {
      kKernels[j](batch, nullptr);
      cuda::Check(cudaEventRecord(events[j + 1], nullptr), "event");
    }
    cuda::Check(cudaEventSynchronize(events[kCount]), "kernels");
    for (size_t j = 0; j < kCount; ++j) {
      float milliseconds = 0;
      cuda::Check(cudaEventElapsedTime(&milliseconds, events[j], events[j + 1]), "time");
      least[j] = std::min(least[j], milliseconds);
    }
  }
  for (cudaEvent_t& event : events) cudaEventDestroy(event);
  return least;
}

int Run(int k, int repeats) {
  const CudaDevice device = UseCudaDevice(0);
  std::printf("%s, %d threads, k = %d, median of %d\n", device.name.c_str(), ThreadCount(), k,
              repeats);
  std::printf("%-11s %13s %9s %10s | %8s %8s %8s %8s | %9s\n", "matrix", "shape", "k-means s",
              "rows/s", "sort ms", "points", "search", "assign", "layer s");
  const RowClusterer layer_clusterer = CudaRowClusterer();
  CudaKmeans kmeans;
  double model_kmeans = 0, model_layers = 0;
  for (const Shape& shape : kShapes) {
    const Matrix matrix = MakeMatrix(shape.rows, shape.n);
    std::vector<float> centroids(static_cast<size_t>(shape.rows * k));
    std::vector<uint8_t> indices(matrix.weights.size());
    const auto cluster = [&] {
      kmeans.Cluster(matrix.Weights(), matrix.Sensitivities(), {centroids.data(), shape.rows, k},
                     {indices.data(), shape.rows, shape.n});
    };
    cluster();  // takes the memory
    const int64_t differ = Differences(matrix, k, centroids, indices);
    if (differ != 0) {
      std::fprintf(stderr, "bench_cuda_kmeans: %s: %lld rows of the sample are not the CPU's\n",
                   shape.name, static_cast<long long>(differ));
      return 1;
    }
    const double seconds = MedianSeconds(repeats, cluster);
    const std::vector<float> kernels = KernelMilliseconds(matrix, k, repeats);
    QuantizeOptions options;
    options.bits = k <= 4 ? 2 : k <= 8 ? 3 : 4;
    options.outliers = SparsityLevels(0.45);
    options.cluster_rows = layer_clusterer;
    const double layer = MedianSeconds(repeats, [&] {
      QuantizeLayer(matrix.Weights(), matrix.Sensitivities(), options, shape.name);
    });
    char sizes[32];
    std::snprintf(sizes, sizeof sizes, "[%d, %d]", static_cast<int>(shape.rows),
                  static_cast<int>(shape.n));
    std::printf("%-11s %13s %9.4f %10.0f | %8.3f %8.3f %8.3f %8.3f | %9.4f\n", shape.name, sizes,
                seconds, static_cast<double>(shape.rows) / seconds, kernels[0], kernels[1],
                kernels[2], kernels[3], layer);
    model_kmeans += shape.in_model * seconds;
    model_layers += shape.in_model * layer;
  }
  std::printf("LLaMA-2-7B, all 224 matrices: k-means %.2f s, layers %.2f s\n", model_kmeans,
              model_layers);
  return 0;
}

}  // namespace
}  // namespace sq

int main(int argc, char** argv) {
  const int k = argc > 1 ? std::atoi(argv[1]) : 16, repeats = argc > 2 ? std::atoi(argv[2]) : 5;
  if (k < 1 || k > sq::kCudaMaxClusters || repeats < 1) {
    std::fprintf(stderr, "usage: bench_cuda_kmeans [K] [REPEATS]\n");
    return 2;
  }
  try {
    return sq::Run(k, repeats);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
