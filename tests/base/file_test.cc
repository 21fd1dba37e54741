#include "sq/base/file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/error_message.h"

namespace sq {
namespace {

TEST(File, ReadsEveryByte) {
  const std::string path = SQ_TEST_SCRATCH "/file_test.bin";
  const std::string bytes("a\0\xff\r\n", 5);
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(ReadFile(path, 5), bytes);
  EXPECT_EQ(test::MessageOf([&] { ReadFile(path, 4); }), path + ": 5 bytes, expected at most 4");
  std::ofstream(path, std::ios::trunc).close();
  EXPECT_EQ(ReadFile(path, 0), "");
}

TEST(File, NamesWhatCannotBeRead) {
  EXPECT_EQ(test::MessageOf([] { ReadFile(SQ_TEST_SCRATCH "/none", 1); }),
            SQ_TEST_SCRATCH "/none: no such file");
  EXPECT_EQ(test::MessageOf([] { ReadFile(SQ_TEST_SCRATCH, 1); }),
            SQ_TEST_SCRATCH ": not a regular file");
}

}  // namespace
}  // namespace sq
