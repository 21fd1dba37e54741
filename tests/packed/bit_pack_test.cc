#include "sq/packed/bit_pack.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

namespace sq {
namespace {

using ::testing::ElementsAre;

class BitPack : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Bits, BitPack, ::testing::Values(2, 3, 4));

// The layout said another way: the group's indices form one long number, index 0 lowest.
TEST_P(BitPack, PutsIndicesLowestBitFirstAlongTheInputs) {
  const int bits = GetParam();
  std::mt19937 random(1);
  const int64_t in = 96, out = 5;
  std::vector<uint8_t> indices(out * in);
  for (uint8_t& index : indices) index = static_cast<uint8_t>(random() % (1u << bits));
  std::vector<uint32_t> words(PackedWords(bits, in, "test") * out);
  PackIndices(bits, {indices.data(), out, in}, {words.data(), in / 32 * bits, out});
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      for (int b = 0; b < bits; ++b) {
        const int64_t bit = (i % 32) * bits + b;
        const uint32_t word = words[(i / 32 * bits + bit / 32) * out + o];
        ASSERT_EQ((word >> (bit % 32)) & 1u, (indices[o * in + i] >> b) & 1u) << o << ' ' << i;
      }
    }
  }
}

TEST_P(BitPack, UnpackingGivesTheIndicesBack) {
  const int bits = GetParam();
  std::mt19937 random(2);
  const int64_t in = 160, out = 7;
  std::vector<uint8_t> indices(out * in), back(out * in, 255);
  for (uint8_t& index : indices) index = static_cast<uint8_t>(random() % (1u << bits));
  std::vector<uint32_t> words(PackedWords(bits, in, "test") * out);
  MatrixView<uint32_t> view{words.data(), in / 32 * bits, out};
  PackIndices(bits, {indices.data(), out, in}, view);
  UnpackIndices(bits, view, {back.data(), out, in});
  EXPECT_EQ(back, indices);
}

TEST_P(BitPack, AColumnRangeLeavesItsNeighboursAlone) {
  const int bits = GetParam();
  const int64_t in = 32, out = 4;
  std::vector<uint32_t> words(bits * out, 0xdeadbeefu);
  const std::vector<uint8_t> indices(in, 1);
  PackIndices(bits, {indices.data(), 1, in}, {words.data() + 2, bits, 1, out});
  std::vector<uint8_t> back(in);
  UnpackIndices(bits, {words.data() + 2, bits, 1, out}, {back.data(), 1, in});
  EXPECT_EQ(back, indices);
  for (int w = 0; w < bits; ++w) {
    for (int64_t o : {0, 1, 3}) EXPECT_EQ(words[w * out + o], 0xdeadbeefu);
  }
}

// Words worked out by hand from the description of the original's format.
TEST(BitPackWords, ThreeBitIndicesThatStraddleWords) {
  std::vector<uint8_t> indices(32, 0);
  indices[0] = 5;   // bits 0..2 of word 0
  indices[10] = 7;  // bits 30, 31 of word 0 and bit 0 of word 1
  indices[21] = 6;  // bit 63 (0), then bits 64, 65: the two ones open word 2
  std::vector<uint32_t> words(3);
  PackIndices(3, {indices.data(), 1, 32}, {words.data(), 3, 1});
  EXPECT_THAT(words, ElementsAre(0xc0000005u, 0x00000001u, 0x00000003u));
}

TEST(BitPackSizes, RefusesWidthsAndSizesOfNoFormat) {
  EXPECT_EQ(PackedWords(3, 64, "layer"), 6);
  EXPECT_THROW(PackedWords(5, 64, "layer"), Error);
  EXPECT_THROW(PackedWords(1, 64, "layer"), Error);
  EXPECT_THROW(PackedWords(4, 0, "layer"), Error);
  try {
    PackedWords(4, 33, "layers.0.q_proj");
    FAIL() << "33 inputs were taken";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "layers.0.q_proj: expected a multiple of 32 input features, found 33");
  }
}

}  // namespace
}  // namespace sq
