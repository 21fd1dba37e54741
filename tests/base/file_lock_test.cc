#include "sq/base/file_lock.h"

#include <gtest/gtest.h>

#include <optional>

#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

TEST(FileLockTest, KeepsASecondOneOffUntilItEnds) {
  const std::string path = test::ScratchFolder() + "/file";
  WriteFile(path, "x");
  const auto message = [&] { return test::MessageOf([&] { FileLock lock(path, "the folder"); }); };
  std::optional<FileLock> lock(std::in_place, path, "the folder");
  EXPECT_EQ(message(), "the folder is in use by another process");
  lock.reset();
  EXPECT_EQ(message(), "");
}

TEST(FileLockTest, NamesAFileThatIsNotThere) {
  const std::string path = test::ScratchFolder() + "/none";
  EXPECT_EQ(test::MessageOf([&] { FileLock lock(path, "it"); }),
            path + ": cannot open: No such file or directory");
}

}  // namespace
}  // namespace sq
