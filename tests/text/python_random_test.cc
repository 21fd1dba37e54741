#include "sq/text/python_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sq {
namespace {

using ::testing::ElementsAreArray;

// All expected values were printed by CPython 3.11.
struct Case {
  uint64_t seed;
  std::vector<uint64_t> words;  // getrandbits(32)
  std::vector<int64_t> ints;    // randint(0, 356316)
  std::vector<double> floats;   // random()
  std::vector<uint64_t> bits;   // getrandbits(1, 7, 33, 64)
};

const std::vector<Case> kCases = {
    {0,
     {3626764237, 1654615998, 3255389356},
     {201979, 220500, 21225, 135746, 268055},
     {0x1.b0580f98a7dbep-1, 0x1.84129978f9c1ap-1},
     {1, 49, 7550356652, 746805015404516437}},
    {1,
     {577090037, 2444712010, 3639700191},
     {70445, 298426, 33086, 133729, 61823},
     {0x1.132d8f91b7584p-3, 0x1.b1e2d5b3584f8p-1},
     {0, 72, 7934667487, 1164115433906158532}},
    {4294967301,
     {675479763, 2085189291, 1213270837},
     {82456, 254539, 148104, 316907, 7614},
     {0x1.4218067c49768p-3, 0x1.21442cf1e9172p-2},
     {0, 62, 5508238133, 15409031377063870429u}},
    {18446744073709551615u,
     {93740670, 1068495656, 1452108352},
     {11442, 130431, 177259, 324403, 111132},
     {0x1.659799fd7f980p-6, 0x1.5a35a94f333d8p-2},
     {0, 31, 5747075648, 8412893781816475729}},
};

TEST(PythonRandom, GivesCPythonsNumbers) {
  for (const Case& expected : kCases) {
    SCOPED_TRACE(expected.seed);
    PythonRandom words(expected.seed), ints(expected.seed), floats(expected.seed),
        bits(expected.seed);
    for (const uint64_t word : expected.words) EXPECT_EQ(words.GetRandBits(32), word);
    for (const int64_t value : expected.ints) EXPECT_EQ(ints.RandInt(0, 356316), value);
    for (const double value : expected.floats) EXPECT_EQ(floats.Random(), value);
    const int counts[] = {1, 7, 33, 64};
    for (int i = 0; i < 4; ++i) EXPECT_EQ(bits.GetRandBits(counts[i]), expected.bits[i]);
  }
}

TEST(PythonRandom, RangesOfAllSizesAfterManyDraws) {
  PythonRandom random(0);
  for (int i = 0; i < 2000; ++i) random.Random();
  std::vector<int64_t> drawn;
  for (const int64_t high :
       {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{3}, int64_t{1000}, int64_t{1} << 31,
        int64_t{1} << 32, int64_t{1} << 33, int64_t{1} << 40}) {
    drawn.push_back(random.RandInt(0, high));
  }
  EXPECT_THAT(drawn, ElementsAreArray({0ll, 1ll, 0ll, 2ll, 188ll, 768000684ll, 11806122ll,
                                       2596224617ll, 919489010499ll}));
  EXPECT_EQ(random.RandInt(-5, 5), -1);
}

TEST(PythonRandom, AHundredThousandDraws) {
  // random.seed(0); x = (x * 31 + randint(0, i)) % 2**61 for i in range(100000)
  PythonRandom random(0);
  uint64_t x = 0;
  constexpr uint64_t kMask = (uint64_t{1} << 61) - 1;
  for (int64_t i = 0; i < 100000; ++i)
    x = (x * 31 + static_cast<uint64_t>(random.RandInt(0, i))) & kMask;
  EXPECT_EQ(x, 285910568543927000u);
}

}  // namespace
}  // namespace sq
