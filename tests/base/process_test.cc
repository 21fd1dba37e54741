#include "sq/base/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sq/base/error.h"

namespace sq {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;
using ::testing::MatchesRegex;

TEST(Process, VersionIsANumberAndACommit) {
  EXPECT_THAT(Version(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+ \\([0-9a-z]+\\)"));
}

TEST(Process, ResidentBytesCountsMemoryInUse) {
  constexpr size_t kBytes = 64 << 20;
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 0);
  const std::unique_ptr<char[]> block(new char[kBytes]);
  std::memset(block.get(), 1, kBytes);
  EXPECT_GE(ResidentBytes() - before, int64_t{kBytes} * 9 / 10);
  EXPECT_EQ(block[kBytes - 1], 1);
  // The system's two counters are brought up to date at different times.
  constexpr int64_t kLag = 4 << 20;
  EXPECT_GE(PeakResidentBytes(), ResidentBytes() - kLag);
}

TEST(Process, PeakResidentBytesRemembersMemoryGivenBack) {
  constexpr size_t kBytes = 128 << 20;
  const int64_t before = ResidentBytes();
  {
    const std::unique_ptr<char[]> block(new char[kBytes]);
    std::memset(block.get(), 1, kBytes);
    EXPECT_EQ(block[kBytes / 2], 1);
  }
  EXPECT_GE(PeakResidentBytes(), before + int64_t{kBytes} * 9 / 10);
}

// Signals change the process for good, so each case runs in a child that tells what it saw by its
// exit.
class ProcessDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::GTEST_FLAG(death_test_style) = "threadsafe"; }

  // Exits with 0 when `expected` holds, with 1 when not.
  [[noreturn]] static void ExitUnless(bool expected) { std::_Exit(expected ? 0 : 1); }
};

TEST_F(ProcessDeathTest, NothingIsRequestedWithoutASignal) {
  EXPECT_EXIT(
      {
        CatchInterrupts();
        StopIfInterrupted();
        ExitUnless(!InterruptRequested());
      },
      ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, TheFirstSignalIsOnlyNoted) {
  for (const int signal : {SIGINT, SIGTERM}) {
    EXPECT_EXIT(
        {
          CatchInterrupts();
          std::raise(signal);
          ExitUnless(InterruptRequested());
        },
        ExitedWithCode(0), "stopping at the next safe point")
        << strsignal(signal);
  }
}

TEST_F(ProcessDeathTest, StopIfInterruptedThrowsOnceASignalIsNoted) {
  EXPECT_EXIT(
      {
        CatchInterrupts();
        std::raise(SIGTERM);
        try {
          StopIfInterrupted();
        } catch (const Interrupted&) {
          ExitUnless(true);
        }
        ExitUnless(false);
      },
      ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, TheSecondSignalEndsTheProcessWith130) {
  EXPECT_EXIT(
      {
        CatchInterrupts();
        std::raise(SIGINT);
        std::raise(SIGTERM);
        ExitUnless(false);
      },
      ExitedWithCode(130), "interrupt again to stop immediately");
}

TEST_F(ProcessDeathTest, AFileThatMayNotGrowIsAnErrorOfTheWrite) {
  EXPECT_EXIT(
      {
        TakeFileSizeErrors();
        struct rlimit limit {};
        limit.rlim_cur = limit.rlim_max = 10;
        const std::string text(100, 'x');
        std::FILE* file = std::tmpfile();
        setrlimit(RLIMIT_FSIZE, &limit);
        std::setbuf(file, nullptr);
        std::fwrite(text.data(), 1, 10, file);
        ExitUnless(std::fwrite(text.data(), 1, 90, file) == 0 && errno == EFBIG);
      },
      ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, WithoutCatchInterruptsASignalKills) {
  EXPECT_EXIT(std::raise(SIGTERM), KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace sq
