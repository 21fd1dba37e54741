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
    return OpenTorchFile(path_);
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

TEST_F(TorchFileTest, ReadsAnArchiveAtAnyAlignment) {
  for (size_t padding = 0; padding < 4; ++padding) {
    std::vector<ZipRecord> records = ThreeFloats();
    records.insert(records.begin(), {"archive/x", std::string(padding, 'x')});
    EXPECT_THAT(ReadFloats(Read(records).tensors.at(0)), ElementsAre(1, -2, 0.5f));
  }
}

TEST_F(TorchFileTest, TensorsMayShareAStorage) {
  std::vector<ZipRecord> records = ThreeFloats();
  const std::string storage = Storage("FloatStorage", "0", 3);
  records[0].bytes = Pickle(Dict(Text("a") + Tensor(storage, 0, Int(2), Int(1)) + Text("b") +
                                 Tensor(storage, 1, Int(2), Int(1)) + Text("n") + Int(5)));
  const TorchFile read = Read(records);
  EXPECT_THAT(ReadFloats(read.tensors.at(0)), ElementsAre(1, -2));
  EXPECT_THAT(ReadFloats(read.tensors.at(1)), ElementsAre(-2, 0.5f));
  EXPECT_THAT(read.integers, ElementsAre(Pair("n", 5)));
}

// As a matrix that was transposed before it was saved, and a part of a larger one.
TEST_F(TorchFileTest, ReadsTensorsOfAnyStridesRowByRow) {
  std::string values;
  for (int i = 0; i < 24; ++i) {
    const float value = static_cast<float>(i);
    values.append(reinterpret_cast<const char*>(&value), 4);
  }
  const std::string storage = Storage("FloatStorage", "0", 24);
  const TorchFile read =
      Read({{"archive/data.pkl",
             Pickle(Dict(Text("transposed") + Tensor(storage, 0, Int(3) + Int(2), Int(1) + Int(3)) +
                         Text("columns") + Tensor(storage, 1, Int(3) + Int(2), Int(8) + Int(2)) +
                         Text("cube") +
                         Tensor(storage, 0, Int(2) + Int(3) + Int(4), Int(1) + Int(8) + Int(2))))},
            {"archive/data/0", values}});
  EXPECT_THAT(ReadFloats(read.tensors.at(0)), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(ReadFloats(read.tensors.at(1)), ElementsAre(1, 3, 9, 11, 17, 19));
  std::vector<float> cube;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 4; ++k) cube.push_back(static_cast<float>(i + 8 * j + 2 * k));
    }
  }
  EXPECT_EQ(ReadFloats(read.tensors.at(2)), cube);
  read.tensors.at(0).Release();
  EXPECT_THAT(ReadFloats(read.tensors.at(0)), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST_F(TorchFileTest, SaysWhatIsNoArchive) {
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(1000, 'x'),
                                   std::string("PK\x05\x06"), std::string("\x80\x02}.")}) {
    WriteFile(path_, bytes);
    EXPECT_EQ(
        MessageOf([&] { OpenTorchFile(path_); }),
        path_ + ": not a PyTorch file: neither a zip archive nor the stream of before torch 1.6");
  }
  for (const size_t size : {0u, 100u, 100'000u}) {
    WriteFile(path_, "PK\x03\x04" + std::string(size, 'x'));
    EXPECT_THAT(MessageOf([&] { OpenTorchFile(path_); }),
                StartsWith(path_ + ": damaged or truncated archive: "));
  }
  EXPECT_EQ(MessageOf([&] { OpenTorchFile(path_ + ".none"); }),
            path_ + ".none: cannot open: No such file or directory");
  EXPECT_THAT(Refusal({{"archive/version", "3\n"}}), HasSubstr("data.pkl"));
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
        const TorchFile read = OpenTorchFile(path_);
        for (const FileTensor& tensor : read.tensors) {
          if (tensor.copy != nullptr) continue;  // other strides than were written
          ASSERT_GE(tensor.data(), tensor.file->data());
          ASSERT_LE(tensor.data() + tensor.bytes, tensor.file->data() + tensor.file->size());
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
  EXPECT_EQ(Refusal(records), path_ + ": record \"archive/data/0\" is missing");
  records = ThreeFloats();
  records[2].compressed = true;
  EXPECT_EQ(Refusal(records), path_ + ": record \"archive/data/0\": is compressed");
  records = ThreeFloats();
  records[0].compressed = true;
  EXPECT_EQ(Refusal(records), path_ + ": record \"archive/data.pkl\": is compressed");
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
  EXPECT_THAT(ReadFloats(OpenTorchFile(path_).tensors.at(0)), ElementsAre(-2, 0.5f));
}

// Protocol 4 has frames.
TEST_F(TorchFileTest, ReadsAStreamOfALaterProtocol) {
  std::string bytes = Legacy();
  bytes.replace(0, 2, "\x80\x04\x95" + Little(13, 8));
  WriteFile(path_, bytes);
  EXPECT_THAT(ReadFloats(OpenTorchFile(path_).tensors.at(0)), ElementsAre(-2, 0.5f));
}

TEST_F(TorchFileTest, RefusesAStreamCutAnywhere) {
  const std::string whole = Legacy();
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFile(path_, whole.substr(0, size));
    EXPECT_THAT(MessageOf([&] { OpenTorchFile(path_); }), StartsWith(path_ + ": ")) << size;
  }
}

TEST_F(TorchFileTest, RefusesAStreamWhoseStoragesDoNotFit) {
  std::string bytes = Legacy();
  bytes.replace(bytes.size() - 20, 8, Little(2, 8));
  WriteFile(path_, bytes);
  EXPECT_EQ(MessageOf([&] { OpenTorchFile(path_); }),
            path_ + ": storage 94: expected 12 bytes, found 8");
  bytes.replace(bytes.size() - 20, 8, Little(uint64_t{1} << 62, 8));
  WriteFile(path_, bytes);
  EXPECT_THAT(MessageOf([&] { OpenTorchFile(path_); }), HasSubstr("does not fit 64 bits"));
  bytes.replace(bytes.size() - 20, 8, Little(~uint64_t{0}, 8));
  WriteFile(path_, bytes);
  EXPECT_EQ(MessageOf([&] { OpenTorchFile(path_); }), path_ + ": storage 94: size -1");
}

TEST_F(TorchFileTest, RunsNoCodeOfTheFile) {
  std::vector<ZipRecord> records = ThreeFloats();
  const std::string trace = path_ + ".trace";
  records[0].bytes =
      Pickle(Dict(Text("a") + Global("posix", "system") + Tuple(Text("touch " + trace)) + "R"));
  EXPECT_THAT(Refusal(records), HasSubstr("asks to call \"posix.system\""));
  EXPECT_FALSE(std::filesystem::exists(trace));
}

}  // namespace
}  // namespace sq
