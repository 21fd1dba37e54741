#include "sq/checkpoint/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>

#include "sq/base/half.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A tensor of `values` that begins at byte `offset` of a file.
template <typename T>
FileTensor TensorOf(DType dtype, const std::vector<T>& values, int64_t offset = 0) {
  const std::string path = test::ScratchFolder() + "/data.bin";
  std::string bytes(static_cast<size_t>(offset), '\x55');
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  bytes += "beyond";
  std::ofstream(path, std::ios::binary) << bytes;
  return {"weight",
          dtype,
          {static_cast<int64_t>(values.size())},
          std::make_shared<MappedFile>(path),
          offset,
          static_cast<int64_t>(values.size() * sizeof(T))};
}

TEST(Tensor, TypesHaveSafetensorsNamesAndSizes) {
  const std::vector<std::pair<DType, const char*>> one = {
      {DType::kBool, "BOOL"}, {DType::kU8, "U8"}, {DType::kI8, "I8"}};
  const std::vector<std::pair<DType, const char*>> two = {
      {DType::kU16, "U16"}, {DType::kI16, "I16"}, {DType::kF16, "F16"}, {DType::kBF16, "BF16"}};
  const std::vector<std::pair<DType, const char*>> four = {
      {DType::kU32, "U32"}, {DType::kI32, "I32"}, {DType::kF32, "F32"}};
  const std::vector<std::pair<DType, const char*>> eight = {
      {DType::kU64, "U64"}, {DType::kI64, "I64"}, {DType::kF64, "F64"}};
  int64_t bytes = 1;
  for (const auto& types : {one, two, four, eight}) {
    for (const auto& [dtype, name] : types) {
      EXPECT_STREQ(DTypeName(dtype), name);
      EXPECT_EQ(DTypeBytes(dtype), bytes) << name;
    }
    bytes *= 2;
  }
}

TEST(Tensor, CountsElements) {
  EXPECT_EQ(ElementCount({}, "t"), 1);
  EXPECT_EQ(ElementCount({3, 5}, "t"), 15);
  EXPECT_EQ(ElementCount({3, 0, 5}, "t"), 0);
  EXPECT_EQ(MessageOf([] {
              ElementCount({2, -1}, "file: tensor t");
            }),
            "file: tensor t: size 2 x -1 is negative or does not fit 64 bits");
  const int64_t large = int64_t{1} << 32;
  EXPECT_EQ(MessageOf([&] {
              ElementCount({large, large}, "t");
            }),
            "t: size 4294967296 x 4294967296 is negative or does not fit 64 bits");
}

TEST(Tensor, ShapesPrintAsLists) {
  EXPECT_EQ(ShapeText({}), "[]");
  EXPECT_EQ(ShapeText({7}), "[7]");
  EXPECT_EQ(ShapeText({4096, 11008}), "[4096, 11008]");
}

TEST(Tensor, ChecksNameFileTensorExpectedAndFound) {
  const FileTensor tensor = TensorOf<float>(DType::kF32, {1, 2, 3});
  const std::string where = tensor.file->path() + ": tensor weight";
  CheckShape(tensor, {3});
  CheckDType(tensor, DType::kF32);
  EXPECT_EQ(MessageOf([&] {
              CheckShape(tensor, {1, 3});
            }),
            where + ": expected shape [1, 3], found [3]");
  EXPECT_EQ(MessageOf([&] { CheckDType(tensor, DType::kI32); }),
            where + ": expected type I32, found F32");
  EXPECT_EQ(MessageOf([&] { ReadIntegers(tensor); }),
            where + ": expected type I32 or I64, found F32");
}

TEST(Tensor, ReadsValuesOfTheirVeryTypeAtAnyAlignment) {
  for (const int64_t offset : {0, 1, 2, 3, 7}) {
    EXPECT_THAT(ReadFloats(TensorOf<float>(DType::kF32, {1.5f, -2}, offset)),
                ElementsAre(1.5f, -2));
    EXPECT_THAT(ReadIntegers(TensorOf<int32_t>(DType::kI32, {-5, 1 << 30}, offset)),
                ElementsAre(-5, 1 << 30));
  }
  EXPECT_THAT(ReadFloats(TensorOf<float>(DType::kF32, {})), IsEmpty());
}

TEST(Tensor, ReadFloatsConvertsARangeOfEachFloatType) {
  // Longer than the buffer that conversion goes through, and not a multiple of it.
  std::vector<float> values(10'001);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 256) - 100;
  std::vector<uint16_t> fp16(values.size()), bf16(values.size());
  FloatToFp16(values.data(), fp16.data(), 10'001);
  FloatToBf16(values.data(), bf16.data(), 10'001);
  for (const int64_t offset : {0, 1}) {
    for (const FileTensor& tensor :
         {TensorOf(DType::kF32, values, offset), TensorOf(DType::kF16, fp16, offset),
          TensorOf(DType::kBF16, bf16, offset)}) {
      for (const auto& [first, count] :
           {std::pair<int64_t, int64_t>{0, 10'001}, {1, 4096}, {5000, 4097}, {10'000, 1}, {3, 0}}) {
        std::vector<float> read(static_cast<size_t>(count) + 1, -1000);
        ReadFloats(tensor, first, count, read.data());
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(read[i], values[first + i]) << DTypeName(tensor.dtype) << ' ' << first + i;
        }
        EXPECT_EQ(read[count], -1000) << DTypeName(tensor.dtype);
      }
    }
  }
}

TEST(Tensor, ReadFloatsRefusesOtherTypes) {
  const FileTensor tensor = TensorOf<int64_t>(DType::kI64, {1});
  float value = 0;
  EXPECT_EQ(
      MessageOf([&] { ReadFloats(tensor, 0, 1, &value); }),
      tensor.file->path() + ": tensor weight: expected type F32, F16, BF16 or F64, found I64");
}

TEST(Tensor, DoublesAreRoundedOnce) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const FileTensor tensor = TensorOf<double>(DType::kF64, {0.1, -1e-50, 3e38, kInfinity}, 3);
  EXPECT_EQ(ReadFloats(tensor), (std::vector<float>{0.1f, -0.0f, 3e38f, INFINITY}));
  EXPECT_EQ(MessageOf([&] { CheckFinite(tensor); }),
            tensor.Where() + ": element 3 of shape [4] is inf");
  float one = 0;
  ReadFloats(tensor, 2, 1, &one);
  EXPECT_EQ(one, 3e38f);
  const FileTensor large = TensorOf<double>(DType::kF64, {1, 1e39});
  EXPECT_EQ(MessageOf([&] { ReadFloats(large); }),
            large.Where() + ": element 1 of shape [2] is 1e+39, which does not fit F32");
}

TEST(Tensor, IsWrittenOnAsItIsButDoubles) {
  std::vector<float> buffer;
  const FileTensor half = TensorOf(DType::kF16, std::vector<uint16_t>{0x3c00, 0x4000});
  EXPECT_EQ(ToWrite(half).dtype, DType::kF16);
  EXPECT_EQ(ToWrite(half).bytes, 4);
  EXPECT_EQ(DataToWrite(half, &buffer), half.data());
  const FileTensor wide = TensorOf<double>(DType::kF64, {0.1, 2});
  EXPECT_EQ(ToWrite(wide).dtype, DType::kF32);
  EXPECT_EQ(ToWrite(wide).shape, wide.shape);
  EXPECT_EQ(ToWrite(wide).bytes, 8);
  const void* data = DataToWrite(wide, &buffer);
  EXPECT_EQ(data, buffer.data());
  EXPECT_EQ(buffer, (std::vector<float>{0.1f, 2}));
}

TEST(Tensor, IsReadAgainAfterRelease) {
  std::vector<float> values(100'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const FileTensor tensor = TensorOf(DType::kF32, values, 5);
  EXPECT_EQ(ReadFloats(tensor), values);
  tensor.Release();
  EXPECT_EQ(ReadFloats(tensor), values);
}

}  // namespace
}  // namespace sq
