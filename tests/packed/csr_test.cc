#include "sq/packed/csr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

using test::MessageOf;

// 3 x 8 with rows of 2, 0 and 1 outliers.
Csr Valid() { return {{0, 2, 2, 3}, {1, 7, 0}, {1.5f, -2, 3}}; }

std::string Refusal(const std::function<void(Csr&)>& damage) {
  Csr csr = Valid();
  damage(csr);
  return MessageOf([&] { ValidateCsr(csr, 3, 8, "layer"); });
}

TEST(CsrTest, TakesAValidMatrix) {
  EXPECT_EQ(Refusal([](Csr&) {}), "");
  EXPECT_EQ(Valid().NonZeros(), 3);
  EXPECT_FALSE(Valid().Empty());
}

TEST(CsrTest, TakesAMatrixWithoutEntriesAndNoMatrixAtAll) {
  const Csr zeros{{0, 0, 0, 0}, {}, {}};
  EXPECT_EQ(MessageOf([&] { ValidateCsr(zeros, 3, 8, "layer"); }), "");
  EXPECT_TRUE(zeros.Empty());
  EXPECT_EQ(MessageOf([] { ValidateCsr({}, 3, 8, "layer"); }), "");
  EXPECT_EQ(Csr().NonZeros(), 0);
}

TEST(CsrTest, TakesAFullRowAndColumnsInAnyOrder) {
  const Csr csr{{0, 4}, {3, 0, 2, 1}, {1, 2, 3, 4}};
  EXPECT_EQ(MessageOf([&] { ValidateCsr(csr, 1, 4, "layer"); }), "");
}

TEST(CsrTest, SaysWhatIsWrong) {
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr.clear(); }), "layer: outliers without row pointers");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr.pop_back(); }),
            "layer: expected 4 row pointers, found 3");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr.push_back(3); }),
            "layer: expected 4 row pointers, found 5");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.vals.pop_back(); }), "layer: 3 columns but 2 values");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.cols.push_back(1); }), "layer: 4 columns but 3 values");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[0] = 1; }),
            "layer: expected row pointers from 0, found 1");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[0] = -1; }),
            "layer: expected row pointers from 0, found -1");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[2] = 1; }), "layer: row pointers decrease at row 1");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[1] = -2; }),
            "layer: row pointers decrease at row 0");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[3] = 1000; }),
            "layer: row pointers end at 1000 but there are 3 outliers");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.row_ptr[3] = 2; }),
            "layer: row pointers end at 2 but there are 3 outliers");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.cols[2] = 8; }), "layer: outlier column 8 outside [0, 8)");
  EXPECT_EQ(Refusal([](Csr& csr) { csr.cols[0] = -1; }), "layer: outlier column -1 outside [0, 8)");
}

TEST(Csr, AddedEntriesComeInOrder) {
  Csr csr{{0, 2, 2, 3}, {1, 5, 0}, {1, 2, 3}};
  AddEntries({{1, 3, 7}, {0, 2, 8}, {2, 9, 9}}, 3, "L", &csr);
  EXPECT_THAT(csr.row_ptr, ElementsAre(0, 3, 4, 6));
  EXPECT_THAT(csr.cols, ElementsAre(1, 2, 5, 3, 0, 9));
  EXPECT_THAT(csr.vals, ElementsAre(1, 8, 2, 7, 3, 9));
}

TEST(Csr, NothingAddedKeepsAMatrixInOrderAsItIs) {
  Csr csr{{0, 2, 3}, {1, 5, 0}, {1, 2, -0.0f}};
  AddEntries({}, 2, "L", &csr);
  EXPECT_THAT(csr.cols, ElementsAre(1, 5, 0));
  EXPECT_TRUE(std::signbit(csr.vals[2]));
  Csr none;
  AddEntries({}, 2, "L", &none);
  EXPECT_TRUE(none.row_ptr.empty());
  AddEntries({{1, 4, 2}}, 2, "L", &none);
  EXPECT_THAT(none.row_ptr, ElementsAre(0, 0, 1));
}

TEST(Csr, SortsColumnsAndSumsThoseThatAreThereTwice) {
  // 2^24 + 1 + 1 in fp32 stays 2^24 when it is rounded after each sum.
  Csr csr{{0, 4, 5}, {5, 1, 5, 5, 0}, {16777216, 2, 1, 1, 4}};
  AddEntries({}, 2, "L", &csr);
  EXPECT_THAT(csr.row_ptr, ElementsAre(0, 2, 3));
  EXPECT_THAT(csr.cols, ElementsAre(1, 5, 0));
  EXPECT_THAT(csr.vals, ElementsAre(2, 16777218, 4));
}

}  // namespace
}  // namespace sq
