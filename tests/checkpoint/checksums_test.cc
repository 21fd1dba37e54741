#include "sq/checkpoint/checksums.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "sq/base/error.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

TEST(ChecksumsTest, AreThePublishedCrc32) {
  // The check value of CRC-32/ISO-HDLC in the catalogues of CRCs.
  EXPECT_EQ(Checksum("123456789", 9), 0xcbf43926u);
  EXPECT_EQ(Checksum("", 0), 0u);
}

class ChecksumsOfFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<TensorView> tensors = {
        {"a", DType::kF32, {2}, values_, 8},
        {"b", DType::kF32, {2}, values_ + 2, 8},
    };
    WriteCheckpoint(folder_, tensors, [&](size_t i) { return tensors[i].data; });
  }
  std::string Verify() {
    return test::MessageOf(
        [&] { verified_ = VerifyChecksums(folder_, TensorStore::Open(folder_)); });
  }

  const float values_[4] = {1, 2, 3, 4};
  const std::string folder_ = test::ScratchFolder();
  bool verified_ = false;
};

TEST_F(ChecksumsOfFolder, AreWrittenWithACheckpoint) {
  EXPECT_EQ(Verify(), "");
  EXPECT_TRUE(verified_);
  std::filesystem::remove(folder_ + "/checksums.json");
  EXPECT_EQ(Verify(), "");
  EXPECT_FALSE(verified_);
}

TEST_F(ChecksumsOfFolder, NameTheTensorWithAFlippedBit) {
  const std::string path = folder_ + "/model.safetensors";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x41');
  file.close();
  EXPECT_THAT(Verify(), HasSubstr(path + ": tensor b: damaged: expected checksum"));
}

TEST_F(ChecksumsOfFolder, NameTensorsThatAreOnlyInOneOfBoth) {
  WriteChecksums(folder_, {{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_THAT(Verify(), HasSubstr("tensor \"c\" is missing"));
  WriteChecksums(folder_, {{"a", Checksum(values_, 8)}});
  EXPECT_THAT(Verify(), HasSubstr("\"b\""));
}

class ContentDigestTest : public ::testing::Test {
 protected:
  std::string Digest(const std::string& name, const std::vector<TensorView>& tensors) const {
    WriteSafetensors(folder_ + "/" + name, tensors, {{"made by", name}});
    return ContentDigest(TensorStore::Open(folder_ + "/" + name));
  }
  TensorView Tensor(const std::string& name, const std::vector<uint8_t>& bytes) const {
    return {name,
            DType::kU8,
            {static_cast<int64_t>(bytes.size())},
            bytes.data(),
            static_cast<int64_t>(bytes.size())};
  }
  const std::string folder_ = test::ScratchFolder();
};

TEST_F(ContentDigestTest, IsOfWhatTensorsAreNotOfTheirFiles) {
  const std::vector<uint8_t> a(100, 1), b(200, 2);
  const std::string whole = Digest("x.safetensors", {Tensor("a", a), Tensor("b", b)});
  EXPECT_THAT(whole, ::testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(Digest("y.safetensors", {Tensor("b", b), Tensor("a", a)}), whole);
  EXPECT_NE(Digest("z.safetensors", {Tensor("a", a)}), whole);
  EXPECT_NE(Digest("z.safetensors", {Tensor("a", b), Tensor("b", a)}), whole);
  EXPECT_NE(Digest("z.safetensors", {Tensor("a", a), Tensor("c", b)}), whole);
  TensorView other = Tensor("b", b);
  other.shape = {2, 100};
  EXPECT_NE(Digest("z.safetensors", {Tensor("a", a), other}), whole);
  std::vector<uint8_t> changed = b;
  changed[199] = 3;
  EXPECT_NE(Digest("z.safetensors", {Tensor("a", a), Tensor("b", changed)}), whole);
}

TEST_F(ContentDigestTest, SamplesLargeTensorsFromEndToEnd) {
  std::vector<uint8_t> large(1 << 20, 7);
  const std::string before = Digest("x.safetensors", {Tensor("a", large)});
  for (size_t at : {size_t{0}, size_t{4095}, large.size() * 3 / 7, large.size() - 1}) {
    ++large[at];
    EXPECT_NE(Digest("x.safetensors", {Tensor("a", large)}), before) << at;
    --large[at];
  }
  for (uint8_t& byte : large) ++byte;  // trained on
  EXPECT_NE(Digest("x.safetensors", {Tensor("a", large)}), before);
}

}  // namespace
}  // namespace sq
