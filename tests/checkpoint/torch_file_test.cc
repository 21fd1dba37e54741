#include "sq/checkpoint/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"
#include "tests/support/zip_bytes.h"

namespace sq {
namespace {

using test::MessageOf;
using test::ZipRecord;
using namespace test::pickle;  // NOLINT: the operations that the tests are written in
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

class TorchFileTest : public ::testing::Test {
 protected:
  TorchFile Read(const std::vector<ZipRecord>& records) const {
    WriteFile(path_, test::ZipBytes(records));
    return ReadTorchFile(path_);
  }
  std::string Refusal(const std::vector<ZipRecord>& records) const {
    return MessageOf([&] { Read(records); });
  }
  const std::string path_ = test::ScratchFolder() + "/m.pt";
};

// An archive of one tensor "a" of three floats.
std::vector<ZipRecord> ThreeFloats() {
  const std::string tensor = Tensor(Storage("FloatStorage", "0", 3), 0, Int(3), Int(1));
  const float values[] = {1, -2, 0.5f};
  return {{"archive/data.pkl", Pickle(Dict(Text("a") + tensor))},
          {"archive/version", "3\n"},
          {"archive/data/0", std::string(reinterpret_cast<const char*>(values), 12)}};
}

std::vector<float> Floats(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.bytes) / 4);
  std::memcpy(values.data(), tensor.data, static_cast<size_t>(tensor.bytes));
  return values;
}

TEST_F(TorchFileTest, GivesBackEveryTypeThatItWrites) {
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

  const TorchFile read = ReadTorchFile(path_);
  EXPECT_EQ(read.path, path_);
  EXPECT_EQ(read.integers, integers);
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(read.tensors[i].name, tensors[i].name);
    EXPECT_EQ(read.tensors[i].dtype, tensors[i].dtype) << tensors[i].name;
    EXPECT_EQ(read.tensors[i].shape, tensors[i].shape) << tensors[i].name;
    ASSERT_EQ(read.tensors[i].bytes, tensors[i].bytes) << tensors[i].name;
    EXPECT_EQ(
        std::memcmp(read.tensors[i].data, tensors[i].data, static_cast<size_t>(tensors[i].bytes)),
        0)
        << tensors[i].name;
  }
}

TEST_F(TorchFileTest, GivesBackEmptyTensorsScalarsAndAnEmptyFile) {
  const float value = 4.5f;
  WriteTorchFile(
      path_, {{"empty", DType::kI32, {0}, &value, 0}, {"scalar", DType::kF32, {}, &value, 4}}, {});
  const TorchFile read = ReadTorchFile(path_);
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_THAT(read.tensors[0].shape, ElementsAre(0));
  EXPECT_THAT(read.tensors[1].shape, IsEmpty());
  EXPECT_THAT(Floats(read.tensors[1]), ElementsAre(4.5f));
  WriteTorchFile(path_, {}, {});
  EXPECT_THAT(ReadTorchFile(path_).tensors, IsEmpty());
}

TEST_F(TorchFileTest, WritesTheSameBytesTwice) {
  const float value = 1;
  const std::string other = path_ + ".again";
  for (const std::string& path : {path_, other}) {
    WriteTorchFile(path, {{"a", DType::kF32, {1}, &value, 4}}, {{"n", 1}});
  }
  EXPECT_EQ(ReadFile(path_, 10'000).size(), ReadFile(other, 10'000).size());
}

// torch.load(weights_only=True) knows few functions; anything else makes it refuse the file.
TEST_F(TorchFileTest, WritesWhatTorchLoadsWithWeightsOnly) {
  const float value = 1;
  WriteTorchFile(path_, {{"a", DType::kF32, {1}, &value, 4}}, {{"n", 1}});
  const std::string bytes = ReadFile(path_, 10'000);
  EXPECT_THAT(bytes, HasSubstr("ctorch._utils\n_rebuild_tensor_v2\n"));
  EXPECT_THAT(bytes, Not(HasSubstr("torch.jit")));
}

TEST_F(TorchFileTest, TypesWithoutACounterpartAreAnError) {
  const uint32_t value = 1;
  EXPECT_THAT(MessageOf([&] {
                WriteTorchFile(path_, {{"a", DType::kU32, {1}, &value, 4}}, {});
              }),
              HasSubstr("tensor a: type U32 has no counterpart in LibTorch"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(TorchFileTest, NamesAFileThatCannotBeWritten) {
  const float value = 1;
  const std::string path = path_ + ".none/m.pt";
  EXPECT_EQ(MessageOf([&] {
              WriteTorchFile(path, {{"a", DType::kF32, {1}, &value, 4}}, {});
            }),
            path + ": cannot create: No such file or directory");
  std::filesystem::create_symlink("/dev/full", path_ + ".tmp");
  const std::vector<float> large(1 << 20, 1);
  EXPECT_EQ(MessageOf([&] {
              WriteTorchFile(path_, {{"a", DType::kF32, {1 << 20}, large.data(), 4 << 20}}, {});
            }),
            path_ + ": cannot write: No space left on device");
}

TEST_F(TorchFileTest, ReadsAnArchiveAtAnyAlignment) {
  for (size_t padding = 0; padding < 4; ++padding) {
    std::vector<ZipRecord> records = ThreeFloats();
    records.insert(records.begin(), {"archive/x", std::string(padding, 'x')});
    EXPECT_THAT(Floats(Read(records).tensors.at(0)), ElementsAre(1, -2, 0.5f));
  }
}

TEST_F(TorchFileTest, TensorsMayShareAStorage) {
  std::vector<ZipRecord> records = ThreeFloats();
  const std::string storage = Storage("FloatStorage", "0", 3);
  records[0].bytes = Pickle(Dict(Text("a") + Tensor(storage, 0, Int(2), Int(1)) + Text("b") +
                                 Tensor(storage, 1, Int(2), Int(1)) + Text("n") + Int(5)));
  const TorchFile read = Read(records);
  EXPECT_THAT(Floats(read.tensors.at(0)), ElementsAre(1, -2));
  EXPECT_THAT(Floats(read.tensors.at(1)), ElementsAre(-2, 0.5f));
  EXPECT_THAT(read.integers, ElementsAre(Pair("n", 5)));
}

TEST_F(TorchFileTest, SaysWhatIsNoArchive) {
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(1000, 'x'),
                                   std::string("PK\x05\x06"), std::string("\x80\x02}.")}) {
    WriteFile(path_, bytes);
    EXPECT_EQ(MessageOf([&] { ReadTorchFile(path_); }),
              path_ + ": not a .pt file: neither a zip archive nor the stream of before torch 1.6");
  }
  for (const size_t size : {0u, 100u, 100'000u}) {
    WriteFile(path_, "PK\x03\x04" + std::string(size, 'x'));
    EXPECT_THAT(MessageOf([&] { ReadTorchFile(path_); }),
                StartsWith(path_ + ": cannot read as a .pt file: "));
  }
  EXPECT_EQ(MessageOf([&] { ReadTorchFile(path_ + ".none"); }),
            path_ + ".none: cannot open: No such file or directory");
  EXPECT_THAT(Refusal({{"archive/version", "3\n"}}), HasSubstr("data.pkl"));
}

TEST_F(TorchFileTest, RefusesAnArchiveCutAnywhere) {
  const float values[] = {1, 2, 3, 4};
  WriteTorchFile(path_, {{"a", DType::kF32, {4}, values, 16}}, {{"n", 1}});
  const std::string whole = ReadFile(path_, 100'000);
  for (size_t size = 0; size < whole.size(); size += 7) {
    WriteFile(path_, whole.substr(0, size));
    EXPECT_THAT(MessageOf([&] { ReadTorchFile(path_); }), StartsWith(path_ + ": ")) << size;
  }
}

// Whatever one byte becomes, the file is refused or its tensors lie inside it.
TEST_F(TorchFileTest, SurvivesAnyByteChanged) {
  const std::string whole = test::ZipBytes(ThreeFloats());
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      WriteFile(path_, changed);
      try {
        const TorchFile read = ReadTorchFile(path_);
        const auto file = std::static_pointer_cast<const MappedFile>(read.memory);
        for (const TensorView& tensor : read.tensors) {
          const auto* data = static_cast<const uint8_t*>(tensor.data);
          ASSERT_GE(data, file->data());
          ASSERT_LE(data + tensor.bytes, file->data() + file->size());
        }
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(TorchFileTest, NamesARecordThatIsMissingCompressedOrOfAnotherSize) {
  std::vector<ZipRecord> records = ThreeFloats();
  records.pop_back();
  EXPECT_EQ(Refusal(records), path_ + ": record data/0 is missing");
  records = ThreeFloats();
  records[2].compressed = true;
  EXPECT_EQ(Refusal(records), path_ + ": record data/0: is compressed");
  records = ThreeFloats();
  records[0].compressed = true;
  EXPECT_EQ(Refusal(records), path_ + ": record data.pkl: is compressed");
  records = ThreeFloats();
  records[2].bytes.resize(8);
  EXPECT_EQ(Refusal(records), path_ + ": storage 0: expected 12 bytes, found 8");
}

TEST_F(TorchFileTest, RefusesBigEndianTensors) {
  std::vector<ZipRecord> records = ThreeFloats();
  records.push_back({"archive/byteorder", "little"});
  EXPECT_EQ(Refusal(records), "");
  records.back().bytes = "big";
  EXPECT_EQ(Refusal(records),
            path_ + ": byte order not supported: expected \"little\", found \"big\"");
}

// A file of before torch 1.6: magic number, protocol, sizes of the writer's machine, the
// dictionary, the storages' keys, the storages.
std::string Legacy() {
  const std::string magic("\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  const float values[] = {1, -2, 0.5f};
  const std::string tensor = Tensor(Storage("FloatStorage", "94", 3), 1, Int(2), Int(1));
  return magic + Pickle("M\xe9\x03") + Pickle(Dict(Text("little_endian") + "\x88")) +
         Pickle(Dict(Text("a") + tensor)) + Pickle("](" + Text("94") + "e") + Little(3, 8) +
         std::string(reinterpret_cast<const char*>(values), 12);
}

TEST_F(TorchFileTest, ReadsTheStreamOfBeforeTorch16) {
  WriteFile(path_, Legacy());
  EXPECT_THAT(Floats(ReadTorchFile(path_).tensors.at(0)), ElementsAre(-2, 0.5f));
}

TEST_F(TorchFileTest, RefusesAStreamCutAnywhere) {
  const std::string whole = Legacy();
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFile(path_, whole.substr(0, size));
    EXPECT_THAT(MessageOf([&] { ReadTorchFile(path_); }), StartsWith(path_ + ": ")) << size;
  }
}

TEST_F(TorchFileTest, RefusesAStreamWhoseStoragesDoNotFit) {
  std::string bytes = Legacy();
  bytes.replace(bytes.size() - 20, 8, Little(2, 8));
  WriteFile(path_, bytes);
  EXPECT_EQ(MessageOf([&] { ReadTorchFile(path_); }),
            path_ + ": storage 94: expected 12 bytes, found 8");
  bytes.replace(bytes.size() - 20, 8, Little(uint64_t{1} << 62, 8));
  WriteFile(path_, bytes);
  EXPECT_THAT(MessageOf([&] { ReadTorchFile(path_); }), HasSubstr("does not fit 64 bits"));
  bytes.replace(bytes.size() - 20, 8, Little(~uint64_t{0}, 8));
  WriteFile(path_, bytes);
  EXPECT_EQ(MessageOf([&] { ReadTorchFile(path_); }), path_ + ": storage 94: size -1");
}

TEST_F(TorchFileTest, RunsNoCodeOfTheFile) {
  std::vector<ZipRecord> records = ThreeFloats();
  const std::string trace = path_ + ".trace";
  records[0].bytes =
      Pickle(Dict(Text("a") + Global("posix", "system") + Tuple(Text("touch " + trace)) + "R"));
  EXPECT_THAT(Refusal(records), HasSubstr("a: expected a tensor or an integer, found "));
  EXPECT_FALSE(std::filesystem::exists(trace));
}

}  // namespace
}  // namespace sq
