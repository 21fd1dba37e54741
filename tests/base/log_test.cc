#include "sq/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace sq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Printed {
  std::string out, err;
};

Printed PrintedBy(const std::function<void()>& body) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  body();
  Printed printed;
  printed.err = ::testing::internal::GetCapturedStderr();
  printed.out = ::testing::internal::GetCapturedStdout();
  return printed;
}

Printed PrintedAt(LogLevel level) {
  SetLogLevel(level);
  const Printed printed = PrintedBy([] {
    LogWarning("a warning");
    LogInfo("a step");
    LogDebug("a detail");
  });
  SetLogLevel(LogLevel::kInfo);
  return printed;
}

TEST(Log, EachLevelPrintsItselfAndWhatIsGraver) {
  EXPECT_THAT(PrintedAt(LogLevel::kQuiet).err, IsEmpty());
  EXPECT_THAT(PrintedAt(LogLevel::kWarning).err,
              AllOf(HasSubstr("a warning"), Not(HasSubstr("a step"))));
  EXPECT_THAT(PrintedAt(LogLevel::kInfo).err,
              AllOf(HasSubstr("a warning"), HasSubstr("a step"), Not(HasSubstr("a detail"))));
  EXPECT_THAT(PrintedAt(LogLevel::kDebug).err, AllOf(HasSubstr("a step"), HasSubstr("a detail")));
}

TEST(Log, LeavesStdoutToResults) {
  const Printed printed = PrintedAt(LogLevel::kDebug);
  EXPECT_THAT(printed.out, IsEmpty());
  EXPECT_THAT(printed.err, HasSubstr("a warning"));
}

TEST(Log, PrintsAMessageOfBracesAsItIs) {
  EXPECT_THAT(PrintedBy([] { LogInfo("{} {0} %s {"); }).err, HasSubstr("{} {0} %s {\n"));
}

TEST(Log, SaysWhetherInfoIsPrinted) {
  for (const LogLevel level : {LogLevel::kQuiet, LogLevel::kWarning}) {
    SetLogLevel(level);
    EXPECT_FALSE(LogsInfo());
  }
  for (const LogLevel level : {LogLevel::kDebug, LogLevel::kInfo}) {
    SetLogLevel(level);
    EXPECT_TRUE(LogsInfo());
  }
}

}  // namespace
}  // namespace sq
