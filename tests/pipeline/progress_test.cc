#include "sq/pipeline/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "sq/base/log.h"

namespace sq {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Progress, BytesReadAsPeopleWriteThem) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(200 << 10), "200 KiB");
  EXPECT_EQ(BytesText(int64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(BytesText(int64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(BytesText(int64_t{1} << 52), "4096 TiB");
}

TEST(Progress, SecondsReadAsPeopleWriteThem) {
  EXPECT_EQ(SecondsText(0), "0.0 s");
  EXPECT_EQ(SecondsText(1.26), "1.3 s");
  EXPECT_EQ(SecondsText(35.2), "35 s");
  EXPECT_EQ(SecondsText(59.4), "59 s");
  EXPECT_EQ(SecondsText(59.6), "1 min 00 s");
  EXPECT_EQ(SecondsText(125), "2 min 05 s");
  EXPECT_EQ(SecondsText(3599.4), "59 min 59 s");
  EXPECT_EQ(SecondsText(3599.6), "1 h 00 min");
  EXPECT_EQ(SecondsText(2 * 3600 + 7 * 60 + 59), "2 h 07 min");
  EXPECT_EQ(SecondsText(100.0 * 3600), "100 h 00 min");
}

std::string PrintedBy(const std::function<void()>& body) {
  ::testing::internal::CaptureStderr();
  body();
  return ::testing::internal::GetCapturedStderr();
}

// What `body` writes on a stderr that is a terminal; nothing where the system lends none.
class ProgressOnATerminal : public ::testing::Test {
 protected:
  void SetUp() override {
    master_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) {
      GTEST_SKIP() << "no terminal here: " << std::strerror(errno);
    }
    const char* name = ptsname(master_);
    slave_ = name == nullptr ? -1 : open(name, O_RDWR | O_NOCTTY);
    if (slave_ < 0) GTEST_SKIP() << "no terminal here: " << std::strerror(errno);
  }
  void TearDown() override {
    if (slave_ >= 0) close(slave_);
    if (master_ >= 0) close(master_);
  }
  std::string PrintedBy(const std::function<void()>& body) {
    std::fflush(stderr);
    const int saved = dup(STDERR_FILENO);
    dup2(slave_, STDERR_FILENO);
    body();
    std::fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    fcntl(master_, F_SETFL, O_NONBLOCK);
    std::string printed;
    char buffer[4096];
    for (ssize_t count; (count = read(master_, buffer, sizeof buffer)) > 0;) {
      printed.append(buffer, static_cast<size_t>(count));
    }
    return printed;
  }

 private:
  int master_ = -1, slave_ = -1;
};

TEST_F(ProgressOnATerminal, RedrawsItsBarAndWipesItAtTheEnd) {
  const std::string printed = PrintedBy([] {
    Progress progress("quantizing", "layer", 4);
    progress.Update(1);
    progress.Update(4);
  });
  EXPECT_THAT(printed,
              HasSubstr("\r\033[K[#######.......................] quantizing: layer 1/4, "));
  EXPECT_THAT(printed, HasSubstr(" left, "));
  EXPECT_THAT(printed,
              HasSubstr("\r\033[K[##############################] quantizing: layer 4/4, "));
  EXPECT_THAT(printed, Not(HasSubstr("\n")));
  EXPECT_THAT(printed, EndsWith("\r\033[K"));
}

TEST_F(ProgressOnATerminal, DrawsNothingWhenTheLogIsQuiet) {
  SetLogLevel(LogLevel::kWarning);
  const std::string printed = PrintedBy([] {
    Progress progress("quantizing", "layer", 4);
    progress.Update(1);
  });
  SetLogLevel(LogLevel::kInfo);
  EXPECT_THAT(printed, IsEmpty());
}

// Before the first step no time can be foretold; and work may turn out to be none, or more than
// thought.
TEST_F(ProgressOnATerminal, BearsNoStepsAndStepsBeyondTheLast) {
  const std::string printed = PrintedBy([] {
    Progress progress("sampling", "token", 2);
    progress.Update(0);
    progress.Update(3);
    Progress none("sampling", "token", 0);
    none.Update(0);
    none.Update(1);
  });
  EXPECT_THAT(printed, HasSubstr("[..............................] sampling: token 0/2"));
  EXPECT_THAT(printed, HasSubstr("[##############################] sampling: token 3/2"));
  EXPECT_THAT(printed, HasSubstr("[##############################] sampling: token 0/0"));
}

TEST(Progress, IsSilentElsewhereForWorkThatIsSoonDone) {
  EXPECT_THAT(PrintedBy([] {
                Progress progress("quantizing", "layer", 2);
                progress.Update(0);
                progress.Update(1);
                progress.Update(2);
              }),
              IsEmpty());
}

}  // namespace
}  // namespace sq
