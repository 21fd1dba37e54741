// Exact weighted k-means of all rows of a matrix on a CUDA device: what quant/kmeans1d.h is on the
// CPU, with the same bytes for an answer. No CUDA header is needed to include this one.
#pragma once

#include <cstdint>
#include <memory>

#include "sq/base/matrix_view.h"
#include "sq/base/row_clusterer.h"

namespace sq {

constexpr int kCudaMaxClusters = 16;

// The memory that clustering takes, grown as calls need it: for each weight of a batch, of which
// there are two at once, about 85 bytes on the device and 9 page-locked ones on the host. Not for
// use from two threads at once.
class CudaKmeans {
 public:
  // Rows go to the device in batches of about this many weights. Two batches of 1024 rows at once
  // are most of what an H100 can take; larger ones would leave too few to overlap.
  static constexpr int64_t kBatchWeights = 4 << 20;

  // On the current device, to which later calls must come as well.
  explicit CudaKmeans(int64_t batch_weights = kBatchWeights);
  ~CudaKmeans();
  CudaKmeans(const CudaKmeans&) = delete;
  CudaKmeans& operator=(const CudaKmeans&) = delete;

  // Clusters each row by the contract of Kmeans1d (quant/kmeans1d.h) with k = centroids.cols:
  //
  //   weights, sensitivities [rows][n]   finite, sensitivities not negative; host memory
  //   centroids [rows][k]                k in 1 .. 16, ascending; host memory
  //   indices [rows][n]                  the nearest centroid, the lower of two; host memory
  //
  // The same bytes as Kmeans1d's, ties between optimal splits included: the same IEEE operations on
  // doubles in the same order where the order matters, and every maximum over candidates takes the
  // lowest of equal ones, as the CPU's loops do. Throws sq::Error for sizes that do not agree, and
  // when the device fails or has no room.
  //
  // Cost: kernels/cuda/kmeans/kmeans.h. Copies to and from the device overlap with its work.
  void Cluster(MatrixView<const float> weights, MatrixView<const float> sensitivities,
               MatrixView<float> centroids, MatrixView<uint8_t> indices);

  // The same for rows that are handed over batch by batch (base/row_clusterer.h), in their order
  // and on the calling thread; fill writes to page-locked memory, and both run beside the device.
  void Cluster(int64_t rows, int64_t n, int64_t k, const FillRows& fill, const TakeRows& take);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// For QuantizeOptions::cluster_rows (quant/quantize_layer.h): a CudaKmeans on the current device,
// shared by the copies of the function.
RowClusterer CudaRowClusterer();

}  // namespace sq
