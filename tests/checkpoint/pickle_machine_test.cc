#include "sq/checkpoint/pickle_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_message.h"
#include "tests/support/pickle_bytes.h"

namespace sq {
namespace {

using test::pickle::Text;
using ::testing::HasSubstr;
using Kind = PickleValue::Kind;

std::string Problem(const std::string& pickle) {
  const std::string path = "file.pt";
  return test::MessageOf([&] {
    PickleMachine(reinterpret_cast<const uint8_t*>(pickle.data()),
                  static_cast<int64_t>(pickle.size()), path)
        .Run();
  });
}

TEST(PickleMachine, LeavesTheValueThatItsOperationsMake) {
  const std::string path = "file.pt";
  const std::string pickle = "\x80\x02](K\x05}(" + Text("a") + "N" + Text("b") + "\x88ue.rest";
  PickleMachine machine(reinterpret_cast<const uint8_t*>(pickle.data()),
                        static_cast<int64_t>(pickle.size()), path);
  const PickleValue value = machine.Run();
  EXPECT_EQ(machine.used(), static_cast<int64_t>(pickle.size()) - 4);
  ASSERT_EQ(value.kind, Kind::kList);
  ASSERT_EQ(value.items->size(), 2u);
  EXPECT_EQ((*value.items)[0].integer, 5);
  const PickleValue& dict = (*value.items)[1];
  ASSERT_EQ(dict.kind, Kind::kDict);
  ASSERT_EQ(dict.items->size(), 4u);
  EXPECT_EQ((*dict.items)[0].text, "a");
  EXPECT_EQ((*dict.items)[1].kind, Kind::kOther);
  EXPECT_EQ((*dict.items)[3].integer, 1);
}

TEST(PickleMachine, DeepNestingNeedsNoStack) {
  EXPECT_EQ(Problem("\x80\x02" + std::string(1 << 20, ']') + std::string((1 << 20) - 1, 'a') + "."),
            "");
  EXPECT_EQ(Problem("\x80\x02)" + std::string(1 << 20, '\x85') + "."), "");
}

TEST(PickleMachine, RefusesOperationsThatDoNotFitTogether) {
  const struct {
    const char *operations, *problem;
  } cases[] = {
      {"", "nothing on the stack"},
      {"R", "nothing on the stack"},
      {"b", "nothing on the stack"},
      {"}s", "nothing on the stack"},
      {"u", "no mark on the stack"},
      {"t", "no mark on the stack"},
      {"(u", "nothing on the stack"},
      {"}(K\x01u", "a key without a value"},
      {"}(s", "nothing on the stack"},
      {"}(K\x01K\x02\x87", "nothing on the stack"},
      {"](u", "items for something that takes none"},
      {"}(e", "items for something that takes none"},
      {"}}R", "arguments that are no tuple"},
      {"(K\x01tQ", "a reference to something that is no storage"},
      {"}Q", "a reference to something that is no storage"},
      {"h\x05", "refers to a value that is not there"},
      {"ctorch\n", "ends too early"},
      {"}}", "values left over"},
  };
  for (const auto& c : cases) {
    const std::string problem = Problem(std::string("\x80\x02") + c.operations + ".");
    EXPECT_THAT(problem, HasSubstr("file.pt: damaged pickle: ")) << c.operations;
    EXPECT_THAT(problem, HasSubstr(c.problem)) << c.operations;
  }
}

// Wherever it stands, also where its value would be dropped.
TEST(PickleMachine, RefusesACallThatNoTensorNeeds) {
  const std::string refused = "asks to call \"os.system\"";
  const std::string call = "cos\nsystem\n" + Text("ls") + "\x85R";
  EXPECT_THAT(Problem("\x80\x02" + call + "0}."), HasSubstr(refused));
  EXPECT_THAT(Problem("\x80\x02}" + call + "b."), HasSubstr(refused));
  EXPECT_THAT(Problem("\x80\x02}cos\nsystem\n)\x81" + std::string("b.")), HasSubstr(refused));
  EXPECT_THAT(Problem("\x80\x02}\x8c\x02os\x8c\x06system\x93)R0."), HasSubstr(refused));
  EXPECT_THAT(Problem("\x80\x02}ca\n\x1b[2J\n)R0."), HasSubstr("asks to call \"a.\\x1b[2J\""));
  EXPECT_THAT(Problem("\x80\x02}})R0."), HasSubstr("a call of something that is no function"));
}

}  // namespace
}  // namespace sq
