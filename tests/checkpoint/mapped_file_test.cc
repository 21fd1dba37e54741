#include "sq/checkpoint/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sq/base/output_file.h"
#include "sq/base/placeholder.h"
#include "sq/base/process.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;

TEST(MappedFile, ShowsEveryByte) {
  const std::string path = test::ScratchFolder() + "/file";
  const std::string bytes("a\0\xff\r\n", 5);
  WriteFile(path, bytes);
  const MappedFile file(path);
  EXPECT_EQ(file.path(), path);
  ASSERT_EQ(file.size(), 5);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.data()), 5), bytes);
}

TEST(MappedFile, TakesAnEmptyFile) {
  const std::string path = test::ScratchFolder() + "/empty";
  WriteFile(path, "");
  const MappedFile file(path);
  EXPECT_EQ(file.size(), 0);
  file.Release(0, 0);
}

TEST(MappedFile, OutlivesTheNameOfItsFile) {
  const std::string path = test::ScratchFolder() + "/file";
  WriteFile(path, "x");
  const MappedFile file(path);
  WriteFile(path, "y");  // another file under the same name
  EXPECT_EQ(file.data()[0], 'x');
}

TEST(MappedFile, SaysWhatIsInTheFilesPlace) {
  const std::string path = test::ScratchFolder() + "/model.safetensors";
  WriteFile(path, "<!DOCTYPE html>\n");
  EXPECT_EQ(MessageOf([&] { MappedFile file(path); }),
            path + ": " + PlaceholderText("<!DOCTYPE html>"));
}

TEST(MappedFile, NamesWhatCannotBeMapped) {
  const std::string folder = test::ScratchFolder();
  EXPECT_EQ(MessageOf([&] { MappedFile file(folder + "/none"); }),
            folder + "/none: cannot open: No such file or directory");
  EXPECT_EQ(MessageOf([&] { MappedFile file(folder); }),
            folder + ": cannot map: not a regular file");
  EXPECT_EQ(MessageOf([&] { MappedFile file("/dev/null"); }),
            "/dev/null: cannot map: not a regular file");
}

TEST(MappedFile, RefusesAPipeWithoutWaitingForAWriter) {
  const std::string path = test::ScratchFolder() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  alarm(20);  // ends the test program if the constructor waits
  EXPECT_EQ(MessageOf([&] { MappedFile file(path); }), path + ": cannot map: not a regular file");
  alarm(0);
}

TEST(MappedFile, ReleaseKeepsTheContentsAndGivesMemoryBack) {
  const std::string path = test::ScratchFolder() + "/large";
  constexpr int64_t kBytes = 64 << 20;
  WriteFile(path, std::string(kBytes, 'x'));
  const MappedFile file(path);
  const auto touch = [&] {
    int64_t sum = 0;
    for (int64_t i = 0; i < kBytes; i += 512) sum += file.data()[i];
    return sum;
  };
  const int64_t sum = touch();
  const int64_t before = ResidentBytes();
  // Page by page at its two ends: a part of a page is kept.
  file.Release(100, kBytes - 200);
  EXPECT_LT(ResidentBytes(), before - kBytes / 2);
  EXPECT_EQ(touch(), sum);
}

TEST(MappedFileDeathTest, AFileThatIsCutIsNamed) {
  const std::string path = test::ScratchFolder() + "/weights";
  EXPECT_EXIT(
      {
        ExplainBusErrors();
        WriteFile(path, std::string(1 << 16, 'x'));
        const MappedFile other(SQ_GOLDEN_DIR "/README.md");
        const MappedFile file(path);
        std::filesystem::resize_file(path, 100);
        volatile const uint8_t* data = file.data();
        std::_Exit(data[40'000] == 'x' ? 2 : 3);
      },
      ::testing::ExitedWithCode(1), "error: .*/weights: cannot be read any more: it was cut");
}

}  // namespace
}  // namespace sq
