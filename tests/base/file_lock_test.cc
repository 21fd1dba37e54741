#include "sq/base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class FileLockTest : public ::testing::Test {
 protected:
  std::string Message() const {
    return MessageOf([&] { FileLock lock(path_, "the folder"); });
  }
  // A process that locks, leaves a note and is killed.
  void LeaveBehind(const std::string& note) const {
    const pid_t child = fork();
    if (child == 0) {
      FileLock lock(path_, "the folder");
      lock.SetNote(note);
      std::_Exit(0);  // no destructor runs
    }
    waitpid(child, nullptr, 0);
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/lock";
};

TEST_F(FileLockTest, TellsASecondOneWhoHasIt) {
  std::optional<FileLock> lock(std::in_place, path_, "the folder");
  char host[256];
  gethostname(host, sizeof host);
  EXPECT_THAT(Message(),
              StartsWith(StrCat("the folder is in use: base_tests is running there (pid ", getpid(),
                                " on ", host, ", since 20")));
  lock.reset();
  EXPECT_EQ(Message(), "");
}

TEST_F(FileLockTest, LeavesNothing) {
  { const FileLock lock(path_, "the folder"); }
  EXPECT_THAT(test::NamesIn(folder_), IsEmpty());
}

TEST_F(FileLockTest, TakesOverWhatAKilledProcessLeftAndItsNote) {
  LeaveBehind("half a result");
  EXPECT_TRUE(fs::exists(path_));
  {
    FileLock lock(path_, "the folder");
    EXPECT_EQ(lock.left_note(), "half a result");
  }
  EXPECT_THAT(test::NamesIn(folder_), IsEmpty());
  const FileLock lock(path_, "the folder");
  EXPECT_EQ(lock.left_note(), "");
}

// The process that takes over may be killed too, before it has done anything about the note.
TEST_F(FileLockTest, ANoteStaysUntilItIsReplaced) {
  LeaveBehind("half a result");
  const pid_t child = fork();
  if (child == 0) {
    FileLock lock(path_, "the folder");
    std::_Exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(FileLock(path_, "the folder").left_note(), "half a result");
}

TEST_F(FileLockTest, LeavesOtherPeoplesFilesAlone) {
  WriteFile(path_, "mine\n");
  EXPECT_EQ(Message(),
            path_ + ": exists and is not a lock file of squeezellm; nothing was changed");
  EXPECT_EQ(ReadFile(path_, 100), "mine\n");
  fs::remove(path_);
  WriteFile(folder_ + "/other", "");
  fs::create_symlink(folder_ + "/other", path_);
  EXPECT_THAT(Message(), StartsWith(path_ + ": cannot open: "));
}

TEST_F(FileLockTest, NamesAPlaceWhereNoneCanBe) {
  EXPECT_EQ(MessageOf([&] { FileLock lock(folder_ + "/none/lock", "it"); }),
            folder_ + "/none/lock: cannot create: No such file or directory");
}

// Many at once: one has it at any time, and none sees it half made.
TEST_F(FileLockTest, OneOfManyHasIt) {
  constexpr int kProcesses = 8, kRounds = 40;
  WriteFile(folder_ + "/count", "0");
  for (int process = 0; process < kProcesses; ++process) {
    if (fork() != 0) continue;
    for (int round = 0; round < kRounds;) {
      try {
        const FileLock lock(path_, "it");
        const int count = std::stoi(ReadFile(folder_ + "/count", 100));
        WriteFile(folder_ + "/count", std::to_string(count + 1));
        ++round;
      } catch (const Error& error) {
        if (std::string(error.what()).rfind("it is in use", 0) != 0 &&
            std::string(error.what()).find("keep creating") == std::string::npos) {
          std::_Exit(1);
        }
      }
    }
    std::_Exit(0);
  }
  for (int process = 0; process < kProcesses; ++process) {
    int status = 0;
    wait(&status);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(ReadFile(folder_ + "/count", 100), std::to_string(kProcesses * kRounds));
}

}  // namespace
}  // namespace sq
