#include "sq/pipeline/output_claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using test::NamesIn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class OutputClaimTest : public ::testing::Test {
 protected:
  std::string Message(const std::string& path) const {
    return MessageOf([&] { OutputClaim claim(path); });
  }
  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/out";
};

TEST_F(OutputClaimTest, ASecondRunIsToldOfTheFirst) {
  for (const bool is_there : {false, true}) {
    if (is_there) MakeFolder(path_);
    std::optional<OutputClaim> claim(std::in_place, path_);
    EXPECT_EQ(claim->is_folder(), is_there);
    fs::create_directory_symlink(folder_, folder_ + "/same");
    for (const std::string& path : {path_, path_ + "/", folder_ + "/same/out"}) {
      EXPECT_THAT(Message(path), StartsWith(StrCat(path, " is in use: pipeline_tests is running ",
                                                   "there (pid ", getpid(), " on ")));
    }
    claim.reset();
    fs::remove(folder_ + "/same");
    EXPECT_EQ(Message(path_), "");
  }
}

TEST_F(OutputClaimTest, TakesNothingThatIsThere) {
  MakeFolder(path_);
  WriteFile(path_ + "/precious", "x");
  for (const std::string& path : {path_, path_ + "/precious"}) {
    const std::string refusal = path + ": is there already; nothing was changed";
    EXPECT_EQ(MessageOf([&] { CheckFree(path); }), refusal);
    EXPECT_EQ(Message(path), refusal);
  }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  EXPECT_THAT(NamesIn(path_), ElementsAre("precious"));
  EXPECT_EQ(MessageOf([&] { CheckFree(folder_ + "/other"); }), "");
  // Our own kind of name, but not our file.
  WriteFile(folder_ + "/.other.squeezellm.lock", "mine");
  EXPECT_THAT(Message(folder_ + "/other"),
              StartsWith(folder_ + "/.other.squeezellm.lock: exists and is not a lock file of "));
}

TEST_F(OutputClaimTest, FoldersAboveAreMadeAndGoAgainUnlessTheyAreUsed) {
  { const OutputClaim claim(folder_ + "/a/b/c"); }
  EXPECT_THAT(NamesIn(folder_), IsEmpty());
  {
    const OutputClaim claim(folder_ + "/a/b/c");
    MakeFolder(folder_ + "/a/b/c");
  }
  EXPECT_TRUE(fs::exists(folder_ + "/a/b/c"));
  EXPECT_THAT(NamesIn(folder_ + "/a/b"), ElementsAre("c"));
}

TEST_F(OutputClaimTest, APlaceThatCannotBeWrittenToIsNamed) {
  WriteFile(folder_ + "/file", "");
  EXPECT_THAT(Message(folder_ + "/file/out"),
              StartsWith(folder_ + "/file: cannot make the folder: "));
  fs::create_symlink("circle", folder_ + "/circle");
  EXPECT_EQ(Message(folder_ + "/circle"), folder_ + "/circle: too many symbolic links");
  MakeFolder(folder_ + "/locked");
  if (getuid() != 0) {
    ASSERT_EQ(chmod((folder_ + "/locked").c_str(), 0555), 0);
  } else if (mount("tmpfs", (folder_ + "/locked").c_str(), "tmpfs", MS_RDONLY, "size=1m") != 0) {
    GTEST_SKIP() << "root may write everywhere, and nothing can be mounted here";
  }
  const std::string lock = folder_ + "/locked/.out.squeezellm.lock";
  const std::string message = Message(folder_ + "/locked/out");
  if (getuid() == 0) {
    ASSERT_EQ(umount((folder_ + "/locked").c_str()), 0);
    EXPECT_EQ(message, lock + ": cannot create: Read-only file system");
  } else {
    EXPECT_EQ(message, lock + ": cannot create: Permission denied");
  }
}

TEST_F(OutputClaimTest, NamesForTheSameFolder) {
  EXPECT_EQ(WithoutTrailingSlash("out"), "out");
  EXPECT_EQ(WithoutTrailingSlash("a/out//"), "a/out");
  EXPECT_EQ(WithoutTrailingSlash("/"), "/");
  EXPECT_EQ(WithoutTrailingSlash(""), "");
  EXPECT_EQ(WithoutTrailingSlash("."), fs::current_path());
  EXPECT_EQ(WithoutTrailingSlash(folder_ + "/."), folder_);
  EXPECT_EQ(DefaultWorkFolder("out/"), "out.work");
  EXPECT_EQ(DefaultWorkFolder("."), fs::current_path().string() + ".work");
}

}  // namespace
}  // namespace sq
