// Against archives put together by hand; tests/cli compares with those of Python's zipfile and
// torch.
#include "sq/checkpoint/zip_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"
#include "tests/support/zip_bytes.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ZipArchiveTest : public ::testing::Test {
 protected:
  std::map<std::string, ZipRecord> Read(const std::string& bytes) {
    WriteFile(path_, bytes);
    return ReadZipDirectory(MappedFile(path_), &first_);
  }
  std::string Refusal(const std::string& bytes) {
    return MessageOf([&] { Read(bytes); });
  }
  const std::string path_ = test::ScratchFolder() + "/a.zip";
  std::string first_;
};

TEST_F(ZipArchiveTest, FindsTheBytesOfEachRecord) {
  const std::string bytes = test::ZipBytes({{"b/one", "first"}, {"b/none", ""}, {"a", "second"}});
  const auto records = Read(bytes);
  EXPECT_EQ(first_, "b/one");
  ASSERT_EQ(records.size(), 3u);
  const auto text = [&](const std::string& name) {
    const ZipRecord& record = records.at(name);
    return bytes.substr(static_cast<size_t>(record.offset), static_cast<size_t>(record.bytes));
  };
  EXPECT_EQ(text("b/one"), "first");
  EXPECT_EQ(text("b/none"), "");
  EXPECT_EQ(text("a"), "second");
  EXPECT_TRUE(Read(test::ZipBytes({})).empty());
}

TEST_F(ZipArchiveTest, NamesARecordThatCannotBeReadAsItLies) {
  EXPECT_EQ(Refusal(test::ZipBytes({{"a", std::string(100, 'a'), true}})),
            path_ + ": record \"a\": is compressed");
  EXPECT_EQ(Refusal(test::ZipBytes({{"a", "x"}, {"a", "y"}})),
            path_ + ": record \"a\": is there twice");
  EXPECT_EQ(Refusal(test::ZipBytes({{"a\n", "x", true}})),
            path_ + ": record \"a\\x0a\": is compressed");
  std::string encrypted = test::ZipBytes({{"a", "x"}});
  encrypted[6] = encrypted[encrypted.find("PK\x01\x02") + 8] = 1;
  EXPECT_EQ(Refusal(encrypted), path_ + ": record \"a\": is encrypted");
}

// The size in the directory says more than the file has.
TEST_F(ZipArchiveTest, RefusesARecordThatEndsOutsideTheFile) {
  std::string bytes = test::ZipBytes({{"a", "x"}});
  const size_t directory = bytes.find("PK\x01\x02");
  for (const size_t header : {size_t{14}, directory + 16}) {
    bytes.replace(header + 4, 8, std::string("\0\0\1\0\0\0\1\0", 8));
  }
  EXPECT_THAT(Refusal(bytes), HasSubstr("record \"a\": truncated: 65536 bytes from byte 31 on"));
}

// A 64-bit directory, as torch.save writes one past 4 GiB (tests/cli has a file of that size).
TEST_F(ZipArchiveTest, FindsA64BitDirectory) {
  using test::pickle::Little;
  const std::string plain = test::ZipBytes({{"a", "x"}});
  const size_t end = plain.size() - 22;
  const uint64_t directory = plain.find("PK\x01\x02");
  const std::string end64 = "PK\x06\x06" + Little(44, 8) + Little(45, 2) + Little(45, 2) +
                            Little(0, 8) + Little(1, 8) + Little(1, 8) +
                            Little(end - directory, 8) + Little(directory, 8);
  const auto whole = [&](uint64_t at) {
    return plain.substr(0, end) + end64 + "PK\x06\x07" + Little(0, 4) + Little(at, 8) +
           Little(1, 4) + "PK\x05\x06" + Little(0, 4) + std::string(12, '\xff') + Little(0, 2);
  };
  EXPECT_EQ(Read(whole(end)).at("a").bytes, 1);
  for (const uint64_t at : {end + 1, ~size_t{0}, whole(0).size()}) {
    EXPECT_THAT(Refusal(whole(at)), StartsWith(path_ + ": damaged or truncated archive: ")) << at;
  }
}

TEST_F(ZipArchiveTest, RefusesAnArchiveCutAnywhere) {
  const std::string whole = test::ZipBytes({{"b/one", "first"}, {"b/two", "second"}});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Refusal(whole.substr(0, size)), StartsWith(path_ + ": damaged or truncated"))
        << size;
  }
}

}  // namespace
}  // namespace sq
