// cuda_kmeans.h: batches of rows through two sets of buffers, so that copies to and from the device
// overlap with its work.
#include "kernels/cuda/kmeans/kmeans.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cuda/streams.h"
#include "sq/base/parallel.h"
#include "sq/kernels/cuda_kmeans.h"

namespace sq {
namespace {

using cuda::KmeansBatch;

// Rows of a batch at most, which bounds what each row costs beside its weights.
constexpr int64_t kBatchRows = 8192;
constexpr int64_t kLongestRow = int64_t{1} << 28;  // positions and places fit 32 bits with room

// One batch at a time: staged on the host, computed, staged back.
class Slot {
 public:
  Slot() = default;
  ~Slot() { cudaStreamSynchronize(stream_.handle); }  // memory may go only then
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Rows first .. first + rows - 1.
  void Start(int64_t first, int64_t rows, int64_t n, int64_t k, const FillRows& fill) {
    const int64_t values = rows * n;
    const KmeansBatch batch = memory_.MakeRoom(rows, n, k);
    input_.Grow(2 * values);
    centroids_.Grow(rows * k);
    indices_.Grow(values);
    fill(first, {input_.data(), rows, n}, {input_.data() + values, rows, n});
    CopyLater(memory_.input(), input_.data(), 2 * values, cudaMemcpyHostToDevice);
    cuda::SortRows(batch, stream_.handle);
    cuda::BuildPoints(batch, stream_.handle);
    cuda::FindCentroids(batch, stream_.handle);
    cuda::AssignNearest(batch, stream_.handle);
    CopyLater(centroids_.data(), batch.centroids, rows * k, cudaMemcpyDeviceToHost);
    CopyLater(indices_.data(), batch.index, values, cudaMemcpyDeviceToHost);
    first_ = first;
    found_centroids_ = {centroids_.data(), rows, k};
    found_indices_ = {indices_.data(), rows, n};
  }

  // Waits for the batch, if there is one, and hands over what it gave.
  void Finish(const TakeRows& take) {
    if (found_indices_.data == nullptr) return;
    const MatrixView<uint8_t> indices = std::exchange(found_indices_, {});
    cuda::Check(cudaStreamSynchronize(stream_.handle), "k-means");
    take(first_, found_centroids_, indices);
  }

  // Waits, and forgets the batch.
  void Drop() {
    cudaStreamSynchronize(stream_.handle);
    found_indices_ = {};
  }

 private:
  template <typename T>
  void CopyLater(T* to, const T* from, int64_t count, cudaMemcpyKind kind) {
    cuda::Check(
        cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), kind, stream_.handle),
        "copy for k-means");
  }

  cuda::Stream stream_;
  cuda::Pinned<float> input_, centroids_;
  cuda::Pinned<uint8_t> indices_;
  cuda::KmeansMemory memory_;
  // Of the batch; no indices when there is none.
  int64_t first_ = 0;
  MatrixView<float> found_centroids_;
  MatrixView<uint8_t> found_indices_;
};

}  // namespace

cuda::KmeansBatch cuda::KmeansMemory::MakeRoom(int64_t rows, int64_t n, int64_t k) {
  KmeansBatch batch = {};
  batch.rows = rows;
  batch.n = static_cast<int32_t>(n);
  batch.k = static_cast<int32_t>(k);
  batch.stride = n + 1;
  batch.words_stride = SortedLength(n);
  const int64_t places = rows * batch.stride;
  batch.weights = input_.Grow(2 * rows * n, "k-means");
  batch.sensitivity = batch.weights + rows * n;
  batch.words = words_.Grow(rows * batch.words_stride, "k-means");
  double* doubles = doubles_.Grow(5 * places + rows, "k-means");
  batch.value = doubles;
  batch.mass = doubles + places;
  batch.mass_to = doubles + 2 * places;
  batch.moment_to = doubles + 3 * places;
  batch.best = doubles + 4 * places;
  batch.second_moment = doubles + 5 * places;
  int32_t* integers = integers_.Grow(4 * places + rows, "k-means");
  batch.from = integers;
  batch.cuts = integers + places;
  batch.count = integers + 4 * places;
  float* floats = floats_.Grow(2 * rows * k, "k-means");
  batch.centroids = floats;
  batch.steps = floats + rows * k;
  batch.index = index_.Grow(rows * n, "k-means");
  return batch;
}

struct CudaKmeans::State {
  int64_t batch_weights;
  std::array<Slot, 2> slots;
};

CudaKmeans::CudaKmeans(int64_t batch_weights) : state_(std::make_unique<State>()) {
  state_->batch_weights = batch_weights;
}
CudaKmeans::~CudaKmeans() = default;

void CudaKmeans::Cluster(MatrixView<const float> weights, MatrixView<const float> sensitivities,
                         MatrixView<float> centroids, MatrixView<uint8_t> indices) {
  const int64_t rows = weights.rows, n = weights.cols, k = centroids.cols;
  SQ_CHECK(sensitivities.rows == rows && sensitivities.cols == n && centroids.rows == rows &&
               indices.rows == rows && indices.cols == n,
           "k-means of rows [", rows, ", ", n, "]: sensitivities are [", sensitivities.rows, ", ",
           sensitivities.cols, "], centroids for ", centroids.rows, " rows, indices [",
           indices.rows, ", ", indices.cols, "]");
  const auto fill = [&](int64_t first, MatrixView<float> batch_weights,
                        MatrixView<float> batch_sensitivities) {
    ParallelFor(batch_weights.rows, [&](int64_t r) {
      std::copy_n(weights.Row(first + r), n, batch_weights.Row(r));
      std::copy_n(sensitivities.Row(first + r), n, batch_sensitivities.Row(r));
    });
  };
  const auto take = [&](int64_t first, MatrixView<float> batch_centroids,
                        MatrixView<uint8_t> batch_indices) {
    ParallelFor(batch_indices.rows, [&](int64_t r) {
      std::copy_n(batch_centroids.Row(r), k, centroids.Row(first + r));
      std::copy_n(batch_indices.Row(r), n, indices.Row(first + r));
    });
  };
  Cluster(rows, n, k, fill, take);
}

void CudaKmeans::Cluster(int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                         const TakeRows& take) {
  SQ_CHECK(k >= 1 && k <= kCudaMaxClusters, "k-means on a CUDA device: expected 1 to ",
           kCudaMaxClusters, " clusters, found ", k);
  SQ_CHECK(n >= 1 && n <= kLongestRow, "k-means on a CUDA device: expected rows of 1 to ",
           kLongestRow, " weights, found ", n);
  std::array<Slot, 2>& slots = state_->slots;
  const int64_t step = std::clamp<int64_t>(state_->batch_weights / n, 1, kBatchRows);
  size_t turn = 0;
  try {
    for (int64_t first = 0; first < rows; first += step) {
      Slot& slot = slots[turn++ % slots.size()];
      slot.Finish(take);
      slot.Start(first, std::min(step, rows - first), n, k, fill);
    }
    for (size_t i = 0; i < slots.size(); ++i) slots[turn++ % slots.size()].Finish(take);
  } catch (...) {
    for (Slot& slot : slots) slot.Drop();
    throw;
  }
}

RowClusterer CudaRowClusterer() {
  const auto kmeans = std::make_shared<CudaKmeans>();
  return [kmeans](int64_t rows, int64_t n, int64_t k, const FillRows& fill, const TakeRows& take) {
    kmeans->Cluster(rows, n, k, fill, take);
  };
}

}  // namespace sq
