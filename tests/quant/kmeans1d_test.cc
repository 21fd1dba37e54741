#include "sq/quant/kmeans1d.h"

#include <gmock/gmock.h>

namespace sq {
namespace {

TEST(Kmeans1d, Works) {
  Kmeans1dWorkspace workspace;
  const std::vector<float> weights = {3, 1, 2, 10, 11, 12}, ones(6, 1.0f);
  std::vector<float> centroids(2);
  std::vector<uint8_t> index(6);
  EXPECT_EQ(Kmeans1d(weights.data(), ones.data(), 6, 2, workspace, centroids.data(), index.data()),
            4);
  EXPECT_THAT(centroids, ::testing::ElementsAre(2, 11));
}

}  // namespace
}  // namespace sq
