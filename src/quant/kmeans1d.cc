#include "sq/quant/kmeans1d.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sq/base/error.h"

namespace sq {
namespace {

// The mean of points [begin, end), computed relative to the first so that a single point is exact.
float Centroid(const WeightedPoints& points, int64_t begin, int64_t end) {
  const double first = points.value[begin];
  double mass = 0, moment = 0;
  for (int64_t i = begin; i < end; ++i) {
    mass += points.mass[i];
    moment += points.mass[i] * (points.value[i] - first);
  }
  return static_cast<float>(first + moment / mass);
}

// The largest float that is at least as near to the lower of two adjacent centroids as to the
// upper.
float Threshold(float lower, float upper) {
  const double middle = 0.5 * (static_cast<double>(lower) + upper);
  const float rounded = static_cast<float>(middle);
  return rounded <= middle ? rounded : std::nextafter(rounded, -INFINITY);
}

}  // namespace

void AssignNearest(const float* weights, int64_t n, const float* centroids, int count,
                   std::vector<float>* thresholds, uint8_t* index) {
  thresholds->resize(count);
  // Of equal centroids the first is used: the thresholds of the others are that of the next larger.
  float next = std::numeric_limits<float>::infinity();
  for (int c = count - 1; c > 0; --c) {
    if (centroids[c - 1] < centroids[c]) next = Threshold(centroids[c - 1], centroids[c]);
    (*thresholds)[c - 1] = next;
  }
  std::fill_n(index, n, uint8_t{0});
  // Vectorized comparisons with every threshold: for 16 centroids faster than a binary search.
  for (int c = 0; c + 1 < count; ++c) {
    const float threshold = (*thresholds)[c];
    for (int64_t i = 0; i < n; ++i) index[i] += weights[i] > threshold;
  }
}

double Kmeans1d(const float* weights, const float* sensitivity, int64_t n, int k,
                Kmeans1dWorkspace* workspace, float* centroids, uint8_t* index) {
  SQ_DCHECK(n >= 1 && k >= 1 && k <= kMaxClusters);
  WeightedPoints& points = workspace->points;
  std::vector<int32_t>& cuts = workspace->cuts;
  BuildWeightedPoints(weights, sensitivity, n, &points);
  const int clusters = static_cast<int>(std::min<int64_t>(k, points.Count()));
  OptimalSegments(points, clusters, &workspace->segmentation, &cuts, &workspace->stats);
  for (int c = 0; c < clusters; ++c) centroids[c] = Centroid(points, cuts[c], cuts[c + 1]);
  std::fill(centroids + clusters, centroids + k, centroids[clusters - 1]);
  AssignNearest(weights, n, centroids, clusters, &workspace->thresholds, index);

  const bool uniform = std::none_of(sensitivity, sensitivity + n, [](float s) { return s > 0; });
  double objective = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double error = static_cast<double>(weights[i]) - centroids[index[i]];
    objective += (uniform ? 1.0 : sensitivity[i]) * (error * error);
  }
  return objective;
}

}  // namespace sq
