#include "sq/checkpoint/packed_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "sq/base/half.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/random_layer.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr char kName[] = "model.layers.0.self_attn.q_proj";

class PackedCheckpointTest : public ::testing::Test {
 protected:
  TensorStore Written(const std::vector<TensorView>& tensors) const {
    WriteSafetensors(path_, tensors, {});
    return TensorStore::Open(path_);
  }
  const std::string path_ = test::ScratchFolder() + "/layer.safetensors";
};

std::vector<std::string> Names(const std::vector<TensorView>& tensors) {
  std::vector<std::string> names;
  for (const TensorView& tensor : tensors) names.push_back(tensor.name.substr(sizeof kName));
  return names;
}

void ExpectSame(const PackedLayer& a, const PackedLayer& b) {
  EXPECT_EQ(a.bits, b.bits);
  EXPECT_EQ(a.out_features, b.out_features);
  EXPECT_EQ(a.in_features, b.in_features);
  EXPECT_EQ(a.qweight, b.qweight);
  EXPECT_EQ(a.lookup_table, b.lookup_table);
  EXPECT_EQ(a.outliers.row_ptr, b.outliers.row_ptr);
  EXPECT_EQ(a.outliers.cols, b.outliers.cols);
  EXPECT_EQ(a.outliers.vals, b.outliers.vals);
  EXPECT_EQ(a.bias, b.bias);
}

TEST_F(PackedCheckpointTest, GivesTheLayerBack) {
  for (const int bits : {2, 3, 4}) {
    for (const int64_t outliers : {0, 2, 64}) {
      for (const bool bias : {false, true}) {
        PackedLayer layer = test::MakeRandomLayer(bits, 5, 64, outliers, 1).layer;
        if (bias) layer.bias = {1, -2, 3, 0, 0.5f};
        const TensorStore store = Written(PackedTensors(layer, kName));
        EXPECT_TRUE(HasPackedLayer(store, kName));
        ExpectSame(ReadPackedLayer(store, kName, 5, 64), layer);
      }
    }
  }
}

TEST_F(PackedCheckpointTest, KeepsASparsePartWithoutEntries) {
  PackedLayer layer = test::MakeRandomLayer(3, 5, 64, 0, 1).layer;
  layer.outliers.row_ptr.assign(6, 0);
  ExpectSame(ReadPackedLayer(Written(PackedTensors(layer, kName)), kName, 5, 64), layer);
}

TEST_F(PackedCheckpointTest, TensorsHaveTheOriginalsNamesTypesAndShapes) {
  PackedLayer layer = test::MakeRandomLayer(3, 5, 64, 2, 1).layer;
  layer.bias.assign(5, 1);
  const std::vector<TensorView> tensors = PackedTensors(layer, kName);
  EXPECT_THAT(Names(tensors),
              ElementsAre("qweight", "lookup_table", "rows", "cols", "vals", "bias"));
  const struct {
    DType dtype;
    Shape shape;
  } expected[] = {{DType::kI32, {6, 5}}, {DType::kF32, {5, 8}}, {DType::kI32, {6}},
                  {DType::kI32, {10}},   {DType::kF32, {10}},   {DType::kF32, {5}}};
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i].dtype, expected[i].dtype) << tensors[i].name;
    EXPECT_EQ(tensors[i].shape, expected[i].shape) << tensors[i].name;
    EXPECT_EQ(tensors[i].bytes, ElementCount(tensors[i].shape, "t") * 4) << tensors[i].name;
  }
  EXPECT_THAT(Names(PackedTensors(test::MakeRandomLayer(4, 5, 64, 0, 1).layer, kName)),
              ElementsAre("qweight", "lookup_table"));
  EXPECT_THAT(PackedTensorNames("L"),
              UnorderedElementsAre("L.qweight", "L.lookup_table", "L.rows", "L.cols", "L.vals",
                                   "L.startrows", "L.full_rows", "L.full_row_indices"));
  EXPECT_THAT(OptionalPackedTensorNames("L"),
              ElementsAre("L.rows", "L.cols", "L.vals", "L.startrows"));
}

TEST_F(PackedCheckpointTest, ReadsABiasOfHalves) {
  const PackedLayer layer = test::MakeRandomLayer(4, 3, 32, 0, 1).layer;
  const std::vector<float> bias = {1.5f, -2, 0.25f};
  std::vector<uint16_t> half(3);
  FloatToFp16(bias.data(), half.data(), 3);
  std::vector<TensorView> tensors = PackedTensors(layer, kName);
  tensors.push_back({std::string(kName) + ".bias", DType::kF16, {3}, half.data(), 6});
  EXPECT_EQ(ReadPackedLayer(Written(tensors), kName, 3, 32).bias, bias);
}

TEST_F(PackedCheckpointTest, IgnoresTheHintOfTheOriginalsKernel) {
  const PackedLayer layer = test::MakeRandomLayer(4, 3, 32, 1, 1).layer;
  const std::vector<int32_t> hint = BalancedStartRows(layer.outliers);
  std::vector<TensorView> tensors = PackedTensors(layer, kName);
  const int64_t threads = static_cast<int64_t>(hint.size());
  tensors.push_back(
      {std::string(kName) + ".startrows", DType::kI32, {threads}, hint.data(), threads * 4});
  ExpectSame(ReadPackedLayer(Written(tensors), kName, 3, 32), layer);
}

// Numbers as other writers may store them: integers of 64 bits, floats of 16.
TEST_F(PackedCheckpointTest, ReadsOtherTypesOfTheSameValues) {
  PackedLayer layer = test::MakeRandomLayer(3, 5, 64, 2, 1).layer;
  for (float& value : layer.lookup_table) value = std::round(value * 64) / 64;
  for (float& value : layer.outliers.vals) value = std::round(value * 64) / 64;
  std::vector<TensorView> tensors = PackedTensors(layer, kName);
  std::vector<std::vector<int64_t>> integers;
  std::vector<std::vector<uint16_t>> halves;
  for (TensorView& tensor : tensors) {
    const size_t count = static_cast<size_t>(tensor.bytes) / 4;
    if (tensor.dtype == DType::kI32) {
      const auto* values = static_cast<const int32_t*>(tensor.data);
      integers.emplace_back(values, values + count);
      tensor = {tensor.name, DType::kI64, tensor.shape, integers.back().data(), tensor.bytes * 2};
    } else {
      halves.emplace_back(count);
      FloatToFp16(static_cast<const float*>(tensor.data), halves.back().data(),
                  static_cast<int64_t>(count));
      tensor = {tensor.name, DType::kF16, tensor.shape, halves.back().data(), tensor.bytes / 2};
    }
  }
  ExpectSame(ReadPackedLayer(Written(tensors), kName, 5, 64), layer);
  integers[0][7] = int64_t{1} << 31;
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(Written(tensors), kName, 5, 64); }),
            path_ + ": tensor " + kName +
                ".qweight: element 7 is 2147483648, which does not fit 32 bits");
}

TEST_F(PackedCheckpointTest, PutsOutliersIntoOrder) {
  PackedLayer layer = test::MakeRandomLayer(4, 2, 32, 0, 1).layer;
  layer.outliers = {{0, 3, 4}, {9, 2, 9, 0}, {1, 2, 0.5f, 4}};
  const Csr read = ReadPackedLayer(Written(PackedTensors(layer, kName)), kName, 2, 32).outliers;
  EXPECT_THAT(read.row_ptr, ElementsAre(0, 2, 3));
  EXPECT_THAT(read.cols, ElementsAre(2, 9, 0));
  EXPECT_THAT(read.vals, ElementsAre(2, 1.5f, 4));
}

// The layer's product with x, as the original's hybrid kernel computes it.
std::vector<double> HybridProduct(const PackedLayer& layer, const std::vector<float>& full_rows,
                                  const std::vector<int32_t>& indices,
                                  const std::vector<double>& x) {
  std::vector<float> weight(static_cast<size_t>(layer.out_features * layer.in_features));
  Dequantize(layer, 0, {weight.data(), layer.out_features, layer.in_features});
  std::vector<double> y(static_cast<size_t>(layer.out_features), 0);
  for (size_t o = 0; o < y.size(); ++o) {
    for (size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
  }
  for (size_t j = 0; j < indices.size(); ++j) {
    for (size_t i = 0; i < x.size(); ++i) {
      y[static_cast<size_t>(indices[j])] += full_rows[i * indices.size() + j] * x[i];
    }
  }
  return y;
}

class FullRows : public PackedCheckpointTest, public ::testing::WithParamInterface<bool> {};

TEST_P(FullRows, JoinTheOutliers) {
  PackedLayer layer = test::MakeRandomLayer(4, 6, 32, GetParam() ? 2 : 0, 1).layer;
  // A channel twice, and every second value zero.
  const std::vector<int32_t> indices = {4, 1, 4};
  std::vector<float> full_rows(32 * 3);
  for (size_t k = 0; k < full_rows.size(); k += 2) {
    full_rows[k] = static_cast<float>(k % 7) - 3.25f;
  }
  std::vector<TensorView> tensors = PackedTensors(layer, kName);
  tensors.push_back(
      {std::string(kName) + ".full_rows", DType::kF32, {32, 3}, full_rows.data(), 32 * 3 * 4});
  tensors.push_back(
      {std::string(kName) + ".full_row_indices", DType::kI32, {3}, indices.data(), 3 * 4});
  const PackedLayer read = ReadPackedLayer(Written(tensors), kName, 6, 32);
  std::vector<double> x(32);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.125 * static_cast<double>(i % 11) - 0.5;
  const std::vector<double> expected = HybridProduct(layer, full_rows, indices, x);
  const std::vector<double> found = HybridProduct(read, {}, {}, x);
  for (size_t o = 0; o < expected.size(); ++o) EXPECT_NEAR(found[o], expected[o], 1e-5) << o;
  EXPECT_EQ(read.qweight, layer.qweight);

  // Zeros, as the original's loader makes them, change nothing.
  full_rows.assign(full_rows.size(), 0);
  ExpectSame(ReadPackedLayer(Written(tensors), kName, 6, 32), layer);
}

INSTANTIATE_TEST_SUITE_P(PackedCheckpoint, FullRows, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Sparse" : "Dense"; });

TEST_F(PackedCheckpointTest, ChecksFullRows) {
  const PackedLayer layer = test::MakeRandomLayer(4, 6, 32, 0, 1).layer;
  const std::vector<float> full_rows(32 * 2, 1);
  std::vector<int32_t> indices = {0, 6};
  std::vector<TensorView> tensors = PackedTensors(layer, kName);
  const std::string name = kName;
  tensors.push_back({name + ".full_rows", DType::kF32, {32, 2}, full_rows.data(), 32 * 2 * 4});
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(Written(tensors), kName, 6, 32); }),
            path_ + ": tensor " + name + ".full_row_indices is missing");
  tensors.push_back({name + ".full_row_indices", DType::kI32, {2}, indices.data(), 2 * 4});
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(Written(tensors), kName, 6, 32); }),
            path_ + ": tensor " + name + ".full_row_indices: row 6 outside [0, 6)");
  tensors[2].shape = {2, 32};
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(Written(tensors), kName, 6, 32); }),
            path_ + ": tensor " + name + ".full_rows: expected shape [32, 2], found [2, 32]");
}

// What reading says when the tensors of a 3-bit layer [5, 64] with 2 outliers a row are changed.
class PackedCheckpointDamage : public PackedCheckpointTest {
 protected:
  using Tensors = std::vector<TensorView>;
  static TensorView& Of(Tensors& tensors, const std::string& part) {
    for (TensorView& tensor : tensors) {
      if (tensor.name == kName + std::string(".") + part) return tensor;
    }
    throw Error("no tensor " + part);
  }
  static void Remove(Tensors& tensors, const std::string& part) {
    tensors.erase(tensors.begin() + (&Of(tensors, part) - tensors.data()));
  }
  std::string Refusal(const std::function<void(PackedLayer&, Tensors&)>& damage) {
    PackedLayer layer = test::MakeRandomLayer(3, 5, 64, 2, 1).layer;
    layer.bias.assign(5, 1);
    Tensors tensors = PackedTensors(layer, kName);
    damage(layer, tensors);
    const TensorStore store = Written(tensors);
    return MessageOf([&] { ReadPackedLayer(store, kName, 5, 64); });
  }
  std::string Tensor(const std::string& part) const {
    return path_ + ": tensor " + kName + "." + part;
  }
  const std::string layer_ = path_ + ": layer " + kName;
};

TEST_F(PackedCheckpointDamage, NamesAMissingTensor) {
  for (const std::string part : {"qweight", "lookup_table", "rows", "cols", "vals"}) {
    EXPECT_EQ(Refusal([&](PackedLayer&, Tensors& tensors) { Remove(tensors, part); }),
              path_ + ": tensor " + kName + "." + part + " is missing");
  }
  // Several in one line.
  EXPECT_EQ(Refusal([](PackedLayer&, Tensors& tensors) {
              Remove(tensors, "qweight");
              Remove(tensors, "vals");
              Of(tensors, "bias").shape = {1, 5};
            }),
            path_ + ": tensor " + kName + ".qweight is missing; tensor " + kName +
                ".vals is missing; tensor " + kName + ".bias: expected shape [5], found [1, 5]");
}

TEST_F(PackedCheckpointDamage, NamesATensorOfTheWrongShape) {
  const struct {
    const char* part;
    Shape shape;
    const char* message;
  } cases[] = {
      {"qweight", {5, 6}, ": expected shape [6, 5], found [5, 6]"},
      {"qweight", {30}, ": expected shape [6, 5], found [30]"},
      {"lookup_table", {8, 5}, ": expected shape [5, 4, 8 or 16], found [8, 5]"},
      {"lookup_table", {40}, ": expected shape [5, 4, 8 or 16], found [40]"},
      {"lookup_table", {5, 8, 1}, ": expected shape [5, 4, 8 or 16], found [5, 8, 1]"},
      {"rows", {1, 6}, ": expected shape [6], found [1, 6]"},
      {"cols", {2, 5}, ": expected shape [outliers], found [2, 5]"},
      {"vals", {5, 2}, ": expected shape [10], found [5, 2]"},
      {"bias", {1, 5}, ": expected shape [5], found [1, 5]"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Refusal([&](PackedLayer&, Tensors& tensors) { Of(tensors, c.part).shape = c.shape; }),
              Tensor(c.part) + c.message);
  }
}

TEST_F(PackedCheckpointDamage, NamesATensorOfTheWrongLength) {
  const auto shorten = [](const std::string& part) {
    return [part](PackedLayer&, Tensors& tensors) {
      TensorView& tensor = Of(tensors, part);
      --tensor.shape[0];
      tensor.bytes -= 4;
    };
  };
  EXPECT_EQ(Refusal(shorten("rows")), Tensor("rows") + ": expected shape [6], found [5]");
  EXPECT_EQ(Refusal(shorten("vals")), Tensor("vals") + ": expected shape [10], found [9]");
  EXPECT_EQ(Refusal(shorten("bias")), Tensor("bias") + ": expected shape [5], found [4]");
}

TEST_F(PackedCheckpointDamage, NamesATensorOfTheWrongType) {
  const struct {
    const char* part;
    DType dtype;
    const char* message;
  } cases[] = {
      {"qweight", DType::kU32, ": expected type I32 or I64, found U32"},
      {"lookup_table", DType::kI32, ": expected type F32, F16, BF16 or F64, found I32"},
      {"rows", DType::kF32, ": expected type I32 or I64, found F32"},
      {"cols", DType::kU32, ": expected type I32 or I64, found U32"},
      {"vals", DType::kI32, ": expected type F32, F16, BF16 or F64, found I32"},
      {"bias", DType::kI32, ": expected type F32, F16, BF16 or F64, found I32"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Refusal([&](PackedLayer&, Tensors& tensors) { Of(tensors, c.part).dtype = c.dtype; }),
              Tensor(c.part) + c.message);
  }
}

TEST_F(PackedCheckpointDamage, ValidatesTheValues) {
  EXPECT_EQ(Refusal([](PackedLayer& layer, Tensors&) { layer.lookup_table[3] = INFINITY; }),
            layer_ + ": lookup table entry 3 is inf");
  EXPECT_EQ(Refusal([](PackedLayer& layer, Tensors&) { layer.outliers.cols[4] = 64; }),
            layer_ + ": outlier column 64 outside [0, 64)");
  EXPECT_EQ(Refusal([](PackedLayer& layer, Tensors&) { layer.outliers.row_ptr[5] = 11; }),
            layer_ + ": row pointers end at 11 but there are 10 outliers");
}

TEST_F(PackedCheckpointTest, NamesALayerOfAnotherSize) {
  const TensorStore store =
      Written(PackedTensors(test::MakeRandomLayer(4, 5, 64, 0, 1).layer, kName));
  const std::string tensor = path_ + ": tensor " + kName;
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(store, kName, 6, 64); }),
            tensor + ".lookup_table: expected shape [6, 4, 8 or 16], found [5, 16]");
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(store, kName, 5, 96); }),
            tensor + ".qweight: expected shape [12, 5], found [8, 5]");
  EXPECT_EQ(MessageOf([&] { ReadPackedLayer(store, kName, 5, 65); }),
            tensor + ".qweight: expected a multiple of 32 inputs, found 65");
  EXPECT_FALSE(HasPackedLayer(store, "model.layers.1.self_attn.q_proj"));
}

TEST_F(PackedCheckpointTest, SummariesAreThoseOfTheLayers) {
  const std::string path = std::string(SQ_TEST_SCRATCH) + "/summaries.safetensors";
  const PackedLayer sparse = test::MakeRandomLayer(3, 5, 64, 2, 1).layer;
  const PackedLayer dense = test::MakeRandomLayer(2, 7, 32, 0, 2).layer;
  std::vector<TensorView> tensors = PackedTensors(sparse, "a.sparse");
  for (const TensorView& tensor : PackedTensors(dense, "b.dense")) tensors.push_back(tensor);
  const std::vector<float> other(4);
  tensors.push_back({"norm.weight", DType::kF32, {4}, other.data(), 16});
  WriteSafetensors(path, tensors, {});
  const TensorStore store = TensorStore::Open(path);
  EXPECT_THAT(PackedLayerNames(store), ElementsAre("a.sparse", "b.dense"));
  const PackedSummary summary = SummarizePackedLayer(store, "a.sparse");
  EXPECT_EQ(summary.bits, 3);
  EXPECT_EQ(summary.out_features, 5);
  EXPECT_EQ(summary.in_features, 64);
  EXPECT_EQ(summary.outliers, 10);
  EXPECT_EQ(summary.bytes, PackedBytes(sparse));
  EXPECT_EQ(SummarizePackedLayer(store, "b.dense").outliers, 0);
  EXPECT_EQ(ReadPackedLayer(store, "b.dense").qweight, dense.qweight);
  CheckIsPacked(store, "a.sparse", "model");
  EXPECT_EQ(test::MessageOf([&] { CheckIsPacked(store, "c", "model"); }),
            "model: is not quantized: tensor c.qweight is missing");
}

}  // namespace
}  // namespace sq
