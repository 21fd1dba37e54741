#include "sq/base/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "sq/base/file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class OutputFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() const { return test::NamesIn(folder_); }
  std::string Contents() const { return ReadFile(path_, 1 << 30); }

  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/result.bin";
};

TEST_F(OutputFileTest, HasItsNameOnlyWhenCommitted) {
  {
    OutputFile file(path_);
    file.Write("whole", 5);
    EXPECT_THAT(Names(), ElementsAre("result.bin.tmp"));
    file.Commit();
    EXPECT_THAT(Names(), ElementsAre("result.bin"));
  }
  EXPECT_EQ(Contents(), "whole");
}

TEST_F(OutputFileTest, LeavesNothingBehindUnlessCommitted) {
  {
    OutputFile file(path_);
    file.Write("half", 4);
  }
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_THROW(
      {
        OutputFile file(path_);
        throw Error("something else went wrong");
      },
      Error);
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(OutputFileTest, KeepsTheOldFileUntilTheNewOneIsWhole) {
  WriteFile(path_, "old");
  {
    OutputFile file(path_);
    file.Write("new", 3);
    EXPECT_EQ(Contents(), "old");
  }
  EXPECT_EQ(Contents(), "old");
  WriteFile(path_, "newer");
  EXPECT_EQ(Contents(), "newer");
  EXPECT_THAT(Names(), ElementsAre("result.bin"));
}

TEST_F(OutputFileTest, OverwritesATemporaryFileThatAKilledRunLeft) {
  WriteFile(path_ + ".tmp", "a long remainder of another run");
  WriteFile(path_, "short");
  EXPECT_EQ(Contents(), "short");
  EXPECT_THAT(Names(), ElementsAre("result.bin"));
}

// Small writes are gathered and large ones go straight through: the order must survive.
TEST_F(OutputFileTest, KeepsTheOrderOfSmallAndLargeWrites) {
  std::string expected;
  {
    OutputFile file(path_);
    for (const size_t bytes :
         {3u, 1u << 20, 0u, 5u, (1u << 20) - 1, 7u, (1u << 20) + 1, 600000u, 600000u, 1u}) {
      std::string part(bytes, '\0');
      for (size_t i = 0; i < bytes; ++i) part[i] = static_cast<char>((expected.size() + i) % 251);
      file.Write(part.data(), static_cast<int64_t>(bytes));
      expected += part;
    }
    file.Commit();
  }
  EXPECT_TRUE(Contents() == expected);
}

TEST_F(OutputFileTest, NamesAPlaceWhereNoFileCanBe) {
  EXPECT_EQ(MessageOf([&] { OutputFile file(folder_ + "/none/file"); }),
            folder_ + "/none/file: cannot create: No such file or directory");
  fs::create_directory(path_);
  EXPECT_EQ(MessageOf([&] { WriteFile(path_, "x"); }), path_ + ": cannot write: Is a directory");
  EXPECT_THAT(Names(), ElementsAre("result.bin"));  // the folder; no temporary file
}

// Every write to /dev/full fails as on a full disk; the temporary name is made to lead there.
TEST_F(OutputFileTest, ReportsAFullDisk) {
  fs::create_symlink("/dev/full", path_ + ".tmp");
  EXPECT_EQ(MessageOf([&] { WriteFile(path_, "x"); }),
            path_ + ": cannot write: No space left on device");
  EXPECT_THAT(Names(), IsEmpty());
  const std::string large(3 << 20, 'x');
  fs::create_symlink("/dev/full", path_ + ".tmp");
  EXPECT_EQ(MessageOf([&] {
              OutputFile file(path_);
              file.Write(large.data(), static_cast<int64_t>(large.size()));
            }),
            path_ + ": cannot write: No space left on device");
  EXPECT_THAT(Names(), IsEmpty());
}

// The system cuts a write short at the limit and refuses the next one.
TEST_F(OutputFileTest, ReportsAWriteThatWasCutShort) {
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = before;
  limit.rlim_cur = 100'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string message = MessageOf([&] { WriteFile(path_, std::string(150'000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, path_ + ": cannot write: File too large");
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(OutputFileTest, ReportsADiskThatFillsUp) {
  const std::string disk = folder_ + "/disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "no small disk can be mounted here: " << std::strerror(errno);
  }
  const std::string message =
      MessageOf([&] { WriteFile(disk + "/file", std::string(3 << 20, 'x')); });
  const bool empty = fs::is_empty(disk);
  ASSERT_EQ(umount(disk.c_str()), 0);
  EXPECT_EQ(message, disk + "/file: cannot write: No space left on device");
  EXPECT_TRUE(empty);
}

TEST_F(OutputFileTest, MakeFolderMakesParentsAndTakesWhatIsThere) {
  MakeFolder(folder_ + "/a/b/c");
  EXPECT_TRUE(fs::is_directory(folder_ + "/a/b/c"));
  MakeFolder(folder_ + "/a/b/c");
  WriteFile(path_, "");
  EXPECT_THAT(MessageOf([&] { MakeFolder(path_); }),
              StartsWith(path_ + ": cannot make the folder: "));
  EXPECT_THAT(MessageOf([&] { MakeFolder(path_ + "/below"); }),
              StartsWith(path_ + "/below: cannot make the folder: "));
}

}  // namespace
}  // namespace sq
