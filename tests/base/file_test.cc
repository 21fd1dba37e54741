#include "sq/base/file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sq/base/placeholder.h"
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

TEST(File, SaysWhatIsInTheFilesPlace) {
  const std::string path = SQ_TEST_SCRATCH "/file_test_pointer";
  std::ofstream(path, std::ios::binary) << "version https://git-lfs.github.com/spec/v1\n";
  EXPECT_EQ(test::MessageOf([&] { ReadFile(path, 1000); }),
            path + ": " + PlaceholderText("version https://git-lfs.github.com/spec/v1\n"));
  const std::string link = SQ_TEST_SCRATCH "/file_test_link";
  std::filesystem::remove(link);
  std::filesystem::create_symlink("../blobs/none", link);
  EXPECT_EQ(test::MessageOf([&] { ReadFile(link, 1); }),
            link + ": a link to ../blobs/none, which is not there");
}

TEST(File, TellsFilesFromFolders) {
  const std::string folder = SQ_TEST_SCRATCH "/file_test_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/b");
  std::ofstream(folder + "/a") << "x";
  std::ofstream(folder + "/B") << "x";
  EXPECT_EQ(FolderNames(folder), (std::vector<std::string>{"B", "a", "b"}));
  EXPECT_TRUE(FileExists(folder) && IsFolder(folder) && !IsRegularFile(folder));
  EXPECT_TRUE(FileExists(folder + "/a") && IsRegularFile(folder + "/a") &&
              !IsFolder(folder + "/a"));
  for (const std::string& path : {folder + "/none", folder + "/a/below", std::string(5000, 'x')}) {
    EXPECT_FALSE(FileExists(path) || IsFolder(path) || IsRegularFile(path));
    EXPECT_NE(test::MessageOf([&] { FolderNames(path); }), "");
  }
}

}  // namespace
}  // namespace sq
