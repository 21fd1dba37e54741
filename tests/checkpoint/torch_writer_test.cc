#include "sq/checkpoint/torch_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/torch_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class TorchWriterTest : public ::testing::Test {
 protected:
  const std::string path_ = test::ScratchFolder() + "/m.pt";
};

TEST_F(TorchWriterTest, GivesBackEveryTypeThatItWrites) {
  std::vector<TensorView> tensors;
  std::vector<std::string> memory;
  for (const DType dtype : {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kF16,
                            DType::kBF16, DType::kI32, DType::kF32, DType::kI64, DType::kF64}) {
    std::string bytes(static_cast<size_t>(6 * DTypeBytes(dtype)), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(dtype == DType::kBool ? i % 2 : 17 * i + 1);
    }
    memory.push_back(bytes);
  }
  size_t next = 0;
  for (const DType dtype : {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kF16,
                            DType::kBF16, DType::kI32, DType::kF32, DType::kI64, DType::kF64}) {
    const std::string& bytes = memory[next++];
    tensors.push_back({std::string("t.") + DTypeName(dtype),
                       dtype,
                       {2, 3},
                       bytes.data(),
                       static_cast<int64_t>(bytes.size())});
  }
  const std::map<std::string, int64_t> integers = {
      {"small", 3}, {"middle", 70'000}, {"large", int64_t{1} << 40}, {"negative", -1}};
  WriteTorchFile(path_, tensors, integers);

  const TorchFile read = OpenTorchFile(path_);
  EXPECT_EQ(read.integers, integers);
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(read.tensors[i].name, tensors[i].name);
    EXPECT_EQ(read.tensors[i].dtype, tensors[i].dtype) << tensors[i].name;
    EXPECT_EQ(read.tensors[i].shape, tensors[i].shape) << tensors[i].name;
    ASSERT_EQ(read.tensors[i].bytes, tensors[i].bytes) << tensors[i].name;
    EXPECT_EQ(
        std::memcmp(read.tensors[i].data(), tensors[i].data, static_cast<size_t>(tensors[i].bytes)),
        0)
        << tensors[i].name;
  }
}

TEST_F(TorchWriterTest, GivesBackEmptyTensorsScalarsAndAnEmptyFile) {
  const float value = 4.5f;
  WriteTorchFile(
      path_, {{"empty", DType::kI32, {0}, &value, 0}, {"scalar", DType::kF32, {}, &value, 4}}, {});
  const TorchFile read = OpenTorchFile(path_);
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_THAT(read.tensors[0].shape, ElementsAre(0));
  EXPECT_THAT(read.tensors[1].shape, IsEmpty());
  EXPECT_THAT(ReadFloats(read.tensors[1]), ElementsAre(4.5f));
  WriteTorchFile(path_, {}, {});
  EXPECT_THAT(OpenTorchFile(path_).tensors, IsEmpty());
}

TEST_F(TorchWriterTest, WritesTheSameBytesTwice) {
  const float value = 1;
  const std::string other = path_ + ".again";
  for (const std::string& path : {path_, other}) {
    WriteTorchFile(path, {{"a", DType::kF32, {1}, &value, 4}}, {{"n", 1}});
  }
  EXPECT_EQ(ReadFile(path_, 10'000).size(), ReadFile(other, 10'000).size());
}

// torch.load(weights_only=True) knows few functions; anything else makes it refuse the file.
TEST_F(TorchWriterTest, WritesWhatTorchLoadsWithWeightsOnly) {
  const float value = 1;
  WriteTorchFile(path_, {{"a", DType::kF32, {1}, &value, 4}}, {{"n", 1}});
  const std::string bytes = ReadFile(path_, 10'000);
  EXPECT_THAT(bytes, HasSubstr("ctorch._utils\n_rebuild_tensor_v2\n"));
  EXPECT_THAT(bytes, Not(HasSubstr("torch.jit")));
}

TEST_F(TorchWriterTest, TypesWithoutACounterpartAreAnError) {
  const uint32_t value = 1;
  EXPECT_THAT(MessageOf([&] {
                WriteTorchFile(path_, {{"a", DType::kU32, {1}, &value, 4}}, {});
              }),
              HasSubstr("tensor a: type U32 has no counterpart in LibTorch"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(TorchWriterTest, NamesAFileThatCannotBeWritten) {
  const float value = 1;
  const std::string path = path_ + ".none/m.pt";
  EXPECT_EQ(MessageOf([&] {
              WriteTorchFile(path, {{"a", DType::kF32, {1}, &value, 4}}, {});
            }),
            path + ": cannot create: No such file or directory");
  std::filesystem::create_symlink("/dev/full", path_);
  const std::vector<float> large(1 << 20, 1);
  EXPECT_EQ(MessageOf([&] {
              WriteTorchFile(path_, {{"a", DType::kF32, {1 << 20}, large.data(), 4 << 20}}, {});
            }),
            path_ + ": cannot write: No space left on device");
}

TEST_F(TorchWriterTest, RefusesAnArchiveCutAnywhere) {
  const float values[] = {1, 2, 3, 4};
  WriteTorchFile(path_, {{"a", DType::kF32, {4}, values, 16}}, {{"n", 1}});
  const std::string whole = ReadFile(path_, 100'000);
  for (size_t size = 0; size < whole.size(); size += 7) {
    WriteFile(path_, whole.substr(0, size));
    EXPECT_THAT(MessageOf([&] { OpenTorchFile(path_); }), StartsWith(path_ + ": ")) << size;
  }
}

}  // namespace
}  // namespace sq
