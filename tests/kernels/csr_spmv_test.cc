#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cpu/kernels.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

// [0 2 0 4]
// [0 0 0 0]
// [1 1 1 1]
const Csr kMatrix{{0, 2, 2, 6}, {1, 3, 0, 1, 2, 3}, {2, 4, 1, 1, 1, 1}};
constexpr float kX[] = {1, 10, 100, 1000};

TEST(CsrSpmv, AddsToWhatIsThere) {
  std::vector<float> y = {0.5f, -1, 0};
  CsrSpmv(kMatrix, kX, 0, 3, y.data());
  EXPECT_THAT(y, ElementsAre(4020.5f, -1, 1111));
}

TEST(CsrSpmv, WritesItsRowsAlone) {
  std::vector<float> y = {7, 7, 7};
  CsrSpmv(kMatrix, kX, 2, 3, y.data());
  EXPECT_THAT(y, ElementsAre(7, 7, 1118));
  CsrSpmv(kMatrix, kX, 1, 1, y.data());
  EXPECT_THAT(y, ElementsAre(7, 7, 1118));
}

TEST(CsrSpmv, ColumnsMayComeInAnyOrderAndTwice) {
  const Csr csr{{0, 3}, {3, 1, 3}, {1, 2, 3}};
  float y = 0;
  CsrSpmv(csr, kX, 0, 1, &y);
  EXPECT_EQ(y, 1000 + 20 + 3000);
}

}  // namespace
}  // namespace sq
