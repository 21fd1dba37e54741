#include "sq/text/unpacked_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "sq/base/output_file.h"
#include "sq/base/placeholder.h"
#include "tests/support/error_message.h"
#include "tests/support/packed_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::Gzip;
using test::MessageOf;
using test::Zstd;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class UnpackedFileTest : public ::testing::Test {
 protected:
  // What is read of a file with these bytes, `size` at a time.
  std::string Read(const std::string& bytes, size_t size = 1000, const std::string& name = "f") {
    path_ = folder_ + "/" + name;
    WriteFile(path_, bytes);
    UnpackedFile file(path_);
    std::string read;
    std::vector<char> buffer(size);
    while (const size_t count = file.Read(buffer.data(), size)) read.append(buffer.data(), count);
    EXPECT_EQ(file.Read(buffer.data(), size), 0u);
    return read;
  }
  // What comes after the path in the message.
  std::string Failure(const std::string& bytes, const std::string& name = "f") {
    const std::string message = MessageOf([&] { Read(bytes, 1000, name); });
    EXPECT_THAT(message, StartsWith(path_ + ": "));
    return message.substr(std::min(path_.size(), message.size()));
  }

  const std::string folder_ = test::ScratchFolder();
  std::string path_;
};

// Longer than the buffer, and not all the same.
std::string Long() {
  std::string text;
  for (int i = 0; i < 60000; ++i) text += std::to_string(i * 7919 % 100003) + '\n';
  return text;
}

TEST_F(UnpackedFileTest, WhatTheFileBeginsWithDecides) {
  const std::string bytes("\0\xff text\r\n", 9);
  for (const char* name : {"f", "f.gz", "f.zst", "f.txt"}) {
    EXPECT_EQ(Read(bytes, 1000, name), bytes);
    EXPECT_EQ(Read(Gzip(bytes), 1000, name), bytes);
    EXPECT_EQ(Read(Zstd(bytes), 1000, name), bytes);
  }
  EXPECT_EQ(Read(""), "");
}

TEST_F(UnpackedFileTest, AnySizeAtATime) {
  const std::string text = Long();
  for (const size_t size : {1, 7, 1000, 1 << 20}) {
    EXPECT_EQ(Read(text, size), text) << size;
    EXPECT_EQ(Read(Gzip(text), size), text) << size;
    EXPECT_EQ(Read(Zstd(text), size), text) << size;
  }
}

TEST_F(UnpackedFileTest, MembersAndFramesFollowOneAnother) {
  const std::string text = Long();
  EXPECT_EQ(Read(Gzip("a") + Gzip("") + Gzip(text) + Gzip("b")), "a" + text + "b");
  EXPECT_EQ(Read(Zstd("a") + Zstd("") + Zstd(text) + Zstd("b")), "a" + text + "b");
  // A frame to be skipped, 3 bytes long.
  const std::string skipped("\x5a\x2a\x4d\x18\x03\0\0\0xyz", 11);
  EXPECT_EQ(Read(skipped + Zstd("a") + skipped), "a");
}

TEST_F(UnpackedFileTest, ZerosBehindGzipDataArePadding) {
  const std::string zeros(200000, '\0');
  EXPECT_EQ(Read(Gzip("a") + zeros), "a");
  EXPECT_EQ(Read(Gzip("a") + zeros + Gzip("b") + '\0'), "ab");
}

TEST_F(UnpackedFileTest, RubbishBehindPackedDataIsAnError) {
  const std::string gzip = Gzip("a");
  EXPECT_EQ(Failure(gzip + "rubbish"), ": at byte " + std::to_string(gzip.size()) +
                                           ": neither gzip data nor padding behind gzip data");
  EXPECT_THAT(Failure(gzip + "\x1f?"), HasSubstr("damaged gzip data: "));
  EXPECT_THAT(Failure(gzip + '\0' + "x"), HasSubstr("neither gzip data nor padding"));
  EXPECT_THAT(Failure(Zstd("a") + "rubbish"), HasSubstr("damaged zstd data: "));
}

TEST_F(UnpackedFileTest, DataThatEndEarlyAreAnError) {
  const std::string text = Long();
  for (const std::string& packed : {Gzip(text), Zstd(text), Gzip("a") + Gzip(text)}) {
    for (const size_t missing : {size_t{1}, size_t{4}, size_t{9}, packed.size() / 2}) {
      const std::string message = Failure(packed.substr(0, packed.size() - missing));
      EXPECT_THAT(message, StartsWith(": at byte "));
      EXPECT_THAT(message, HasSubstr(" data end early")) << missing;
    }
  }
  for (const size_t size : {2, 4, 9, 17}) {
    EXPECT_THAT(Failure(Gzip(text).substr(0, size)), HasSubstr("the gzip data end early")) << size;
  }
  EXPECT_EQ(Failure("", "f.gz"), ": empty, expected compressed data");
  EXPECT_EQ(Failure("", "f.json.ZST"), ": empty, expected compressed data");
}

TEST_F(UnpackedFileTest, DamageIsAnError) {
  const std::string text = Long();
  for (std::string packed : {Gzip(text), Zstd(text)}) {
    packed[packed.size() / 2] ^= 0x40;
    EXPECT_THAT(Failure(packed),
                AnyOf(HasSubstr(": damaged gzip data: "), HasSubstr(": damaged zstd data: ")));
  }
  std::string checksum = Gzip("a");
  checksum[checksum.size() - 8] ^= 1;
  EXPECT_THAT(Failure(checksum), HasSubstr("damaged gzip data: incorrect data check"));
}

TEST_F(UnpackedFileTest, OtherPackingsAreNamed) {
  EXPECT_EQ(Failure("BZh91AY&SY\x99"),
            ": bzip2 data, which are not read; text, JSON lines, gzip and zstd are");
  EXPECT_THAT(Failure(std::string("\xfd"
                                  "7zXZ\0\0\4",
                                  8)),
              StartsWith(": xz data"));
  EXPECT_THAT(Failure("PK\3\4\x14"), StartsWith(": zip data"));
  EXPECT_THAT(Failure("\x04\x22\x4d\x18"), StartsWith(": lz4 data"));
  EXPECT_THAT(Failure("PAR1\x15\x04"), StartsWith(": Parquet data"));
  EXPECT_THAT(Failure(std::string("ARROW1\0\0\xff", 9)), StartsWith(": Arrow data"));
  EXPECT_EQ(Read("BZhou, PAR1 and ARROW1"), "BZhou, PAR1 and ARROW1");
}

// Made by `printf aaaaaaaa | zstd --long=31`: its window has 2 GiB.
TEST_F(UnpackedFileTest, WideWindowsAreRead) {
  EXPECT_EQ(
      Read(std::string(
          "\x28\xb5\x2f\xfd\x04\xa8\x41\x00\x00\x61\x61\x61\x61\x61\x61\x61\x61\xf3\x70\xe9\x1d",
          21)),
      "aaaaaaaa");
}

TEST_F(UnpackedFileTest, NamesWhatCannotBeRead) {
  const auto open = [](const std::string& path) {
    return MessageOf([&] { UnpackedFile file(path); });
  };
  EXPECT_EQ(open(folder_ + "/none"), folder_ + "/none: no such file");
  EXPECT_EQ(open(folder_), folder_ + ": not a regular file");
  std::filesystem::create_symlink("none", folder_ + "/link");
  EXPECT_EQ(open(folder_ + "/link"), folder_ + "/link: a link to none, which is not there");
  EXPECT_EQ(Failure("<!DOCTYPE html>"), ": " + PlaceholderText("<!DOCTYPE html>"));
}

TEST(UnpackedName, LosesOneEnding) {
  EXPECT_EQ(UnpackedName("a.jsonl.gz"), "a.jsonl");
  EXPECT_EQ(UnpackedName("a.txt.ZST"), "a.txt");
  EXPECT_EQ(UnpackedName("a.gz.gz"), "a.gz");
  EXPECT_EQ(UnpackedName("a.txt"), "a.txt");
  EXPECT_EQ(UnpackedName("gz"), "gz");
  EXPECT_EQ(UnpackedName(""), "");
}

}  // namespace
}  // namespace sq
