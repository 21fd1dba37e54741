#include "sq/base/problem_list.h"

#include <gtest/gtest.h>

#include "tests/support/error_message.h"

namespace sq {
namespace {

std::string Told(int count) {
  ProblemList problems;
  for (int i = 0; i < count; ++i) problems.Add("tensor " + std::to_string(i) + " is missing");
  return test::MessageOf([&] { problems.Check("m.pt"); });
}

TEST(ProblemList, TellsTheFirstFiveInOneLine) {
  EXPECT_EQ(Told(0), "");
  EXPECT_EQ(Told(1), "m.pt: tensor 0 is missing");
  EXPECT_EQ(Told(2), "m.pt: tensor 0 is missing; tensor 1 is missing");
  const std::string five = Told(5);
  EXPECT_EQ(five.substr(five.rfind(';')), "; tensor 4 is missing");
  EXPECT_EQ(Told(6), five + "; and 1 more");
  EXPECT_EQ(Told(900), five + "; and 895 more");
}

}  // namespace
}  // namespace sq
