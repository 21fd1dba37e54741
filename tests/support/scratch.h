// A folder for the files of one test; tests may run side by side.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace sq::test {

// Creates an empty folder named after the running test and returns its path.
inline std::string ScratchFolder() {
  const ::testing::TestInfo& info = *::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(info.test_suite_name()) + "." + info.name();
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string folder = SQ_TEST_SCRATCH "/" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace sq::test
