#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

class LutGemvBits : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(LutGemv, LutGemvBits, ::testing::Values(2, 3, 4),
                         [](const auto& info) { return std::to_string(info.param) + "bit"; });

// A one at one input picks one column of the weight.
TEST_P(LutGemvBits, AUnitVectorGivesAColumnOfTheWeight) {
  const int64_t out = 7, in = 96;
  const test::RandomLayer random = test::MakeRandomLayer(GetParam(), out, in, 0, 1);
  for (int64_t i = 0; i < in; ++i) {
    std::vector<float> x(in, 0), y(out, NAN);
    x[i] = 1;
    LutGemv(random.layer, x.data(), 0, out, y.data());
    for (int64_t o = 0; o < out; ++o) ASSERT_EQ(y[o], random.weight[o * in + i]) << o << ' ' << i;
  }
}

TEST_P(LutGemvBits, WritesItsRowsAlone) {
  const int64_t out = 9, in = 32;
  const test::RandomLayer random = test::MakeRandomLayer(GetParam(), out, in, 0, 2);
  std::vector<float> x(in, 0), y(out, -7);
  x[3] = 2;
  LutGemv(random.layer, x.data(), 4, 6, y.data());
  for (int64_t o = 0; o < out; ++o) {
    EXPECT_EQ(y[o], o == 4 || o == 5 ? 2 * random.weight[o * in + 3] : -7) << o;
  }
  LutGemv(random.layer, x.data(), 0, 0, y.data());
  EXPECT_EQ(y[0], -7);
}

}  // namespace
}  // namespace sq
