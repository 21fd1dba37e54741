// The LUT-GEMV alone: every instance, work divided in every way, barriers, memory. What it computes
// is tested with CudaPackedMatmul (packed_matmul_test.cc); here the pieces that such small layers
// do not reach.
#include "kernels/cuda/matmul/lut_gemv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "kernels/cuda/matmul/device_layer.h"
#include "kernels/cuda/matmul/gemv_plan.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/matmul_reference.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

using cuda::Buffer;
using test::DeviceMatrix;

cuda::DeviceLayer OnDevice(const PackedLayer& layer) {
  return cuda::DeviceLayer(cuda::Repack({layer}));
}

// Whole numbers: every sum is exact.
PackedLayer WholeLayer(int bits, int64_t out, int64_t in, int64_t outliers) {
  PackedLayer layer = test::MakeRandomLayer(bits, out, in, outliers, 21).layer;
  test::MakeWhole(&layer.lookup_table);
  test::MakeWhole(&layer.outliers.vals);
  return layer;
}

std::vector<float> WholeValues(int64_t count) {
  std::mt19937 random(4);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 7)) - 3;
  return values;
}

// Runs as a device with that number of multiprocessors would. `change`: what else arguments get.
std::vector<float> Multiply(const cuda::DeviceLayer& layer, const DeviceMatrix& x,
                            const cuda::DeviceInfo& device, Buffer<unsigned>* arrived,
                            const std::function<void(cuda::GemvArguments*)>& change = nullptr) {
  const CudaMatrix given = x.View();
  const DeviceMatrix y(FloatType::kFloat32, given.rows, layer.view().rows);
  const cuda::GemvRoom room = cuda::RoomForGemv(layer.view(), given.rows, device);
  const Buffer<float> partials(room.partials, "partials");
  if (arrived->count() < room.arrived)
    *arrived = Buffer<unsigned>(std::vector<unsigned>(room.arrived, 0), "arrived");
  const int64_t most = cuda::GemvTokens(layer.view(), device);
  for (int64_t first = 0; first < given.rows; first += most) {
    cuda::GemvArguments arguments = {};
    arguments.layer = layer.view();
    arguments.x = static_cast<const uint16_t*>(given.data) + first * given.stride;
    arguments.x_stride = given.stride;
    arguments.tokens = static_cast<int>(std::min(most, given.rows - first));
    arguments.x_scale = 1;
    arguments.y = y.View();
    arguments.y.data = static_cast<float*>(arguments.y.data) + first * arguments.y.stride;
    arguments.partials = partials.data();
    arguments.arrived = arrived->data();
    if (change) change(&arguments);
    cuda::LutGemv(arguments, device, false, nullptr);
  }
  EXPECT_TRUE(y.Untouched());
  for (const unsigned count : arrived->ToHost()) EXPECT_EQ(count, 0u);
  return y.Values();
}

void ExpectExact(const std::vector<float>& found, const std::vector<double>& expected,
                 const std::string& what) {
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(found[i], expected[i]) << what << ": element " << i;
}

// As devices with so many multiprocessors, and at most so much shared memory, would.
void ExpectExactProducts(const PackedLayer& layer, const std::vector<int64_t>& tokens,
                         const std::vector<int>& multiprocessors,
                         int64_t shared_bytes = int64_t{1} << 40,
                         const cuda::GemvTuning& tuning = cuda::TuningFor({9, 0})) {
  const int64_t in = layer.in_features, most = *std::max_element(tokens.begin(), tokens.end());
  const std::vector<float> x = WholeValues(most * in);
  const test::MatmulReference reference = test::ReferenceMatmul(layer, {x.data(), most, in});
  const cuda::DeviceLayer on_device = OnDevice(layer);
  Buffer<unsigned> arrived;
  for (const int count : multiprocessors) {
    cuda::DeviceInfo device = cuda::CurrentDeviceInfo();
    device.multiprocessors = count;
    device.shared_bytes = std::min(device.shared_bytes, shared_bytes);
    device.gemv = tuning;
    for (const int64_t rows : tokens) {
      const DeviceMatrix given(FloatType::kFloat16, {x.data(), rows, in});
      ExpectExact(Multiply(on_device, given, device, &arrived), reference.y,
                  StrCat(layer.bits, " bits, ", count, " multiprocessors, ", rows, " tokens"));
    }
  }
}

// From blocks that take many groups of rows to groups in parts.
TEST(LutGemv, AnyDivisionOfTheWorkGivesTheSame) {
  for (const int bits : {3, 4}) {
    ExpectExactProducts(WholeLayer(bits, 190, 2048, 9), {1, 3},
                        {1, 2, 3, 4, 5, 7, 11, 23, 24, 100});
  }
}

// Several K-tiles a warp, a last one that is not whole, and every instance.
TEST(LutGemv, TakesLongRows) {
  for (const int bits : {3, 4})
    ExpectExactProducts(WholeLayer(bits, 64, 9 * 1024 + 32, 20), {1, 2, 4, 8, 13, 16}, {1, 3});
}

// Most warps have nothing to multiply, some of them entries of tables to fetch.
TEST(LutGemv, TakesRowsOfOneKTile) {
  for (const int bits : {3, 4})
    ExpectExactProducts(WholeLayer(bits, 190, 224, 3), {1, 2, 16}, {1, 2});
}

// Some K-tiles have no outliers, others as many as shared memory holds at once, or far more.
TEST(LutGemv, TakesUnevenlySpreadOutliers) {
  constexpr int64_t kOut = 134, kIn = 18 * 256 + 96;
  constexpr int kOfARow[] = {0, 1, 2, 3, 20};
  for (const int bits : {3, 4}) {
    PackedLayer layer = WholeLayer(bits, kOut, kIn, 0);
    layer.outliers.row_ptr.push_back(0);
    for (int64_t row = 0; row < kOut; ++row) {
      for (int64_t k_tile = 0; k_tile * 256 < kIn; ++k_tile) {
        for (int i = 0; i < kOfARow[(row / 32 + 3 * k_tile) % 5]; ++i) {
          const int64_t column = k_tile * 256 + 12 * i + row % 12;
          if (column >= kIn) break;
          layer.outliers.cols.push_back(static_cast<int32_t>(column));
          layer.outliers.vals.push_back(static_cast<float>((row + 2 * column) % 9) - 4);
        }
      }
      layer.outliers.row_ptr.push_back(static_cast<int32_t>(layer.outliers.cols.size()));
    }
    ExpectExactProducts(layer, {1, 4, 8, 16}, {1, 24});
  }
}

// A device with as little shared memory as those of compute capability 8.6: fewer warps.
TEST(LutGemv, GetsByWithLittleSharedMemory) {
  for (const int bits : {3, 4})
    ExpectExactProducts(WholeLayer(bits, 100, 2336, 20), {1, 2, 3, 8, 16}, {2}, 99 << 10);
}

// Few tiles in more parts, fewer warps, two tokens as four.
TEST(LutGemv, AnyTuningGivesTheSame) {
  for (const int bits : {3, 4}) {
    const PackedLayer layer = WholeLayer(bits, 70, 4352, 9);
    for (const cuda::GemvTuning& tuning : {cuda::GemvTuning{0, {16, 16}, 2, 1},
                                           {0, {16, 16}, 1, 2},
                                           {0, {8, 8}, 1, 1},
                                           {0, {8, 8}, 2, 3}}) {
      ExpectExactProducts(layer, {1, 2}, {3, 5}, int64_t{1} << 40, tuning);
    }
    // Three tiles: a block each for as many multiprocessors, or two.
    const cuda::DeviceLayer on_device = OnDevice(layer);
    cuda::DeviceInfo device = cuda::CurrentDeviceInfo();
    device.multiprocessors = 3;
    device.shared_bytes = 227 << 10;
    for (const int filled : {1, 2}) {
      device.gemv = {0, {16, 16}, 2, filled};
      EXPECT_EQ(cuda::RoomForGemv(on_device.view(), 1, device).partials,
                filled == 1 ? 0 : 3 * 2 * 32);
    }
  }
}

// How many blocks for one token a multiprocessor holds, as tuning.cc counts them.
TEST(LutGemv, TuningLeavesRoomForTwoBlocks) {
  struct Row {
    cuda::Capability capability;
    int64_t shared_bytes;  // of the largest block
    int bits, warps;
    int64_t blocks;
  };
  for (const Row& row : {Row{{8, 0}, 163 << 10, 3, 16, 2},
                         {{8, 0}, 163 << 10, 4, 8, 2},
                         {{8, 6}, 99 << 10, 3, 8, 2},
                         {{8, 6}, 99 << 10, 4, 8, 1},  // all that it has room for
                         {{9, 0}, 227 << 10, 3, 16, 2},
                         {{9, 0}, 227 << 10, 4, 16, 2},
                         {{10, 0}, 227 << 10, 3, 16, 2},
                         {{10, 0}, 227 << 10, 4, 16, 2},
                         {{12, 0}, 99 << 10, 3, 8, 2},
                         {{12, 0}, 99 << 10, 4, 8, 1}}) {
    cuda::DeviceInfo device;
    device.multiprocessors = 100;
    device.shared_bytes = row.shared_bytes;
    device.gemv = cuda::TuningFor(row.capability);
    cuda::LayerView layer = {};
    layer.rows = layer.padded_rows = layer.inputs = layer.padded_inputs = 4096;
    const auto plan = row.bits == 3 ? cuda::PlanGemv<3> : cuda::PlanGemv<4>;
    const cuda::GemvPlan found = plan(layer, 1, false, device);
    const std::string what = StrCat(ToString(row.capability), ", ", row.bits, " bits");
    EXPECT_EQ(found.warps, row.warps) << what;
    EXPECT_EQ(found.resident, row.blocks) << what;
    // What the table does without: a block of 16 where that leaves room for one only.
    for (int& warps : device.gemv.one_token_warps) warps = 24 - row.warps;
    const cuda::GemvPlan other = plan(layer, 1, false, device);
    if (row.warps == 8 && other.warps == 16) {
      EXPECT_EQ(other.resident, 1) << what;
    }
    if (row.warps == 16) {
      EXPECT_GE(row.warps * row.blocks, other.warps * other.resident) << what;
    }
  }
}

// Calls body(device, what it is) for devices of few and many multiprocessors, of both numbers of
// warps.
template <typename Body>
void ForDevices(const Body& body) {
  for (const int warps : {8, 16}) {
    for (const int count : {1, 3, 24}) {
      cuda::DeviceInfo device = cuda::CurrentDeviceInfo();
      device.multiprocessors = count;
      device.gemv = {0, {warps, warps}, 2, 2};
      body(device, StrCat(warps, " warps, ", count, " multiprocessors"));
    }
  }
}

TEST(LutGemv, LeavesWhatANormNeeds) {
  constexpr int64_t kOut = 70, kIn = 4352;
  const std::vector<float> x = WholeValues(kIn);
  const DeviceMatrix given(FloatType::kFloat16, {x.data(), 1, kIn});
  const std::vector<float> weight = test::RandomValues(kOut, 3), added = WholeValues(kOut);
  const Buffer<float> weight_on_device(weight, "weight");
  const DeviceMatrix add(FloatType::kFloat32, {added.data(), 1, kOut});
  for (const int bits : {3, 4}) {
    const PackedLayer layer = WholeLayer(bits, kOut, kIn, 9);
    std::vector<double> expected = test::ReferenceMatmul(layer, {x.data(), 1, kIn}).y;
    for (size_t row = 0; row < expected.size(); ++row) expected[row] += added[row];
    const cuda::DeviceLayer on_device = OnDevice(layer);
    Buffer<unsigned> arrived;
    ForDevices([&](const cuda::DeviceInfo& device, const std::string& what) {
      const Buffer<float> weighted(std::vector<float>(kOut + 1, -1), "weighted");
      const Buffer<float> squares(std::vector<float>(cuda::NormSums(kOut), -1), "squares");
      const std::vector<float> y =
          Multiply(on_device, given, device, &arrived, [&](cuda::GemvArguments* arguments) {
            arguments->epilogue.add = add.View();
            arguments->epilogue.norm = {weight_on_device.data(), 0, weighted.data(),
                                        squares.data()};
          });
      ExpectExact(y, expected, what);
      const std::vector<float> found = weighted.ToHost(), sums = squares.ToHost();
      for (size_t row = 0; row < kOut; ++row)
        ASSERT_EQ(found[row], y[row] * weight[row]) << what << ": row " << row;
      EXPECT_EQ(found[kOut], -1);
      ASSERT_EQ(sums.size(), 4u);
      for (size_t tile = 0; tile < 3; ++tile) {
        double sum = 0;
        for (size_t row = 32 * tile; row < std::min<size_t>(kOut, 32 * tile + 32); ++row)
          sum += expected[row] * expected[row];
        EXPECT_NEAR(sums[tile], sum, 1e-6 * sum) << what << ": tile " << tile;
      }
      EXPECT_EQ(sums[3], -1);  // of no rows
    });
  }
}

// Inputs are whole numbers once they are divided by the root of the mean square, which is 2.
TEST(LutGemv, TakesWhatANormLeft) {
  for (const int64_t in : {int64_t{224}, int64_t{4352}, int64_t{9 * 1024 + 32}}) {
    const std::vector<float> x = WholeValues(in);
    std::vector<float> twice = x;
    for (float& value : twice) value *= 2;
    std::vector<float> squares(static_cast<size_t>(cuda::NormSums(in)), 0);
    squares[0] = 3 * static_cast<float>(in);  // 4 in the mean, with 0.5 as epsilon
    squares.back() += static_cast<float>(in) / 2;
    const Buffer<float> weighted(twice, "weighted"), sums(squares, "squares"),
        weight(std::vector<float>{1}, "weight");
    for (const int bits : {3, 4}) {
      const PackedLayer layer = WholeLayer(bits, 70, in, 9);
      const std::vector<double> expected = test::ReferenceMatmul(layer, {x.data(), 1, in}).y;
      const cuda::DeviceLayer on_device = OnDevice(layer);
      const DeviceMatrix nothing(FloatType::kFloat16, 1, in);
      Buffer<unsigned> arrived;
      ForDevices([&](const cuda::DeviceInfo& device, const std::string& what) {
        const std::vector<float> y =
            Multiply(on_device, nothing, device, &arrived, [&](cuda::GemvArguments* arguments) {
              arguments->x = nullptr;
              arguments->norm = {weight.data(), 0.5f, weighted.data(), sums.data()};
            });
        ExpectExact(y, expected, StrCat(bits, " bits, ", in, " inputs, ", what));
      });
    }
  }
}

TEST(LutGemv, AnyOrderOfThreadsGivesTheSameBits) {
  constexpr int64_t kOut = 130, kIn = 4608, kTokens = 5;
  const std::vector<float> x = test::RandomValues(kTokens * kIn, 8);
  for (const int bits : {3, 4}) {
    const cuda::DeviceLayer on_device =
        OnDevice(test::MakeRandomLayer(bits, kOut, kIn, 600, 2).layer);
    Buffer<unsigned> arrived;
    for (const int64_t tokens : {1, 5}) {
      const DeviceMatrix given(FloatType::kFloat16, {x.data(), tokens, kIn});
      const std::vector<float> first =
          Multiply(on_device, given, cuda::CurrentDeviceInfo(), &arrived);
      for (const uint64_t seed : {1, 2, 3}) {
        test::SetScheduleSeed(seed);
        EXPECT_EQ(Multiply(on_device, given, cuda::CurrentDeviceInfo(), &arrived), first)
            << bits << " bits, seed " << seed;
      }
      test::SetScheduleSeed(0);
    }
  }
}

}  // namespace
}  // namespace sq
