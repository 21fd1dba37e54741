#include "sq/base/output_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "sq/base/file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
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
    EXPECT_THAT(Names(), ElementsAre(MatchesRegex("result\\.bin\\.[a-z0-9]{6}\\.tmp")));
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

TEST_F(OutputFileTest, TouchesNoOtherFile) {
  WriteFile(path_ + ".tmp", "somebody's");
  OutputFile first(path_), second(path_);
  first.Write("1", 1);
  second.Write("2", 1);
  EXPECT_EQ(Names().size(), 3u);
  first.Commit();
  EXPECT_EQ(Contents(), "1");
  second.Commit();
  EXPECT_EQ(Contents(), "2");
  EXPECT_EQ(ReadFile(path_ + ".tmp", 100), "somebody's");
}

TEST_F(OutputFileTest, FollowsSymbolicLinks) {
  fs::create_directory(folder_ + "/there");
  fs::create_symlink("there/result", path_);  // dangling, and relative to its own folder
  WriteFile(path_, "new");
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(ReadFile(folder_ + "/there/result", 100), "new");
  WriteFile(path_, "newer");
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(ReadFile(folder_ + "/there/result", 100), "newer");
  EXPECT_THAT(test::NamesIn(folder_ + "/there"), ElementsAre("result"));
  fs::remove(path_);
  fs::create_symlink("result.bin", path_);
  EXPECT_EQ(MessageOf([&] { WriteFile(path_, "x"); }), path_ + ": too many symbolic links");
}

TEST_F(OutputFileTest, KeepsTheRightsOfTheOldFile) {
  WriteFile(path_, "old");
  for (const mode_t mode : {0600, 0664}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    WriteFile(path_, "new");
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode);
  }
}

TEST_F(OutputFileTest, APipesReaderGetsWhatIsWritten) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  CheckCanWrite(path_);  // does not wait for a reader
  std::string got(100, '\0');
  std::thread reader([&] {
    const int descriptor = open(path_.c_str(), O_RDONLY);
    const ssize_t count = read(descriptor, got.data(), got.size());
    got.resize(count < 0 ? 0 : static_cast<size_t>(count));
    close(descriptor);
  });
  WriteFile(path_, "report");
  reader.join();
  EXPECT_EQ(got, "report");
  EXPECT_TRUE(fs::is_fifo(path_));
  EXPECT_THAT(Names(), ElementsAre("result.bin"));
}

// A redirected stdout is gone on with, not written anew from its beginning.
TEST_F(OutputFileTest, AnOpenFileByItsNumberIsGoneOnWith) {
  const int descriptor = open(path_.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(write(descriptor, "before, ", 8), 8);
  for (const std::string folder : {"/dev/fd", "/proc/self/fd"}) {
    WriteFile(folder + "/" + std::to_string(descriptor), "report ");
  }
  fs::create_symlink(StrCat("/dev/fd/", descriptor), folder_ + "/link");
  CheckCanWrite(folder_ + "/link");
  WriteFile(folder_ + "/link", "by a link");
  close(descriptor);
  EXPECT_EQ(Contents(), "before, report report by a link");
  EXPECT_THAT(Names(), ElementsAre("link", "result.bin"));
}

// docker run -v report.json:/report.json: a file that is a mount point cannot be replaced.
TEST_F(OutputFileTest, WritesIntoAFileThatIsMounted) {
  WriteFile(path_, "a long old report");
  WriteFile(folder_ + "/source", "a long old report");
  if (mount((folder_ + "/source").c_str(), path_.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "nothing can be mounted here: " << std::strerror(errno);
  }
  const std::string message = MessageOf([&] { WriteFile(path_, "new"); });
  const std::string contents = Contents();
  ASSERT_EQ(umount(path_.c_str()), 0);
  EXPECT_EQ(message, "");
  EXPECT_EQ(contents, "new");
  EXPECT_EQ(ReadFile(folder_ + "/source", 100), "new");
  EXPECT_THAT(Names(), ElementsAre("result.bin", "source"));
}

TEST_F(OutputFileTest, ALongNameIsCutInTheTemporaryOne) {
  const std::string name(255, 'n');
  WriteFile(folder_ + "/" + name, "x");
  EXPECT_THAT(Names(), ElementsAre(name));
}

TEST_F(OutputFileTest, CheckCanWriteLeavesNothing) {
  CheckCanWrite(path_);
  EXPECT_THAT(Names(), IsEmpty());
  WriteFile(path_, "old");
  CheckCanWrite(path_);
  EXPECT_EQ(Contents(), "old");
  EXPECT_THAT(Names(), ElementsAre("result.bin"));
  EXPECT_EQ(MessageOf([&] { CheckCanWrite(folder_ + "/none/file"); }),
            folder_ + "/none/file: cannot create: No such file or directory");
  EXPECT_EQ(MessageOf([&] { CheckCanWrite(folder_); }), folder_ + ": cannot write: Is a directory");
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

// Every write to /dev/full fails as on a full disk.
TEST_F(OutputFileTest, ReportsAFullDevice) {
  fs::create_symlink("/dev/full", path_);
  EXPECT_EQ(MessageOf([&] { WriteFile(path_, "x"); }),
            path_ + ": cannot write: No space left on device");
  const std::string large(3 << 20, 'x');
  EXPECT_EQ(MessageOf([&] {
              OutputFile file(path_);
              file.Write(large.data(), static_cast<int64_t>(large.size()));
            }),
            path_ + ": cannot write: No space left on device");
  EXPECT_THAT(Names(), ElementsAre("result.bin"));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
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
