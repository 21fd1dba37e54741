// Pickles as torch.save writes them, put together by hand, and what becomes of them when they are damaged.
#include "sq/checkpoint/pickle.h"

#include <gmock/gmock.h>

#include "sq/base/error.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Byte(int value) { return std::string(1, static_cast<char>(value)); }

std::string Unicode(const std::string& text) {
  return "X" + Byte(static_cast<int>(text.size())) + std::string(3, '\0') + text;
}

// A tuple of small numbers.
std::string Tuple(const std::vector<int>& numbers) {
  std::string text = "(";
  for (const int number : numbers) text += "K" + Byte(number);
  return text + "t";
}

std::string Tensor(const std::string& storage, const std::string& key, int elements, int offset,
                   const std::vector<int>& shape, const std::vector<int>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + Unicode("storage") + "ctorch\n" + storage + "\n" +
         Unicode(key) + Unicode("cpu") + "K" + Byte(elements) + "tQK" + Byte(offset) + Tuple(shape) +
         Tuple(strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}

const char kBegin[] = "\x80\x02}(";

// An OrderedDict with attributes, as state_dict() gives it.
std::string StateDict() {
  return "\x80\x02" "ccollections\nOrderedDict\n)Rq" + Byte(0) + "(" + Unicode("a.qweight") +
         Tensor("IntStorage", "0", 12, 0, {3, 4}, {4, 1}) + Unicode("a.bias") +
         Tensor("HalfStorage", "1", 8, 2, {1, 4}, {77, 1}) + Unicode("sparse_threshold.a") + "M\x39\x30" +
         "u}" + Unicode("_metadata") + "h" + Byte(0) + "sb.";
}

PickledDict Parse(const std::string& pickle) {
  int64_t used = 0;
  PickledDict dict =
      ParsePickledDict(reinterpret_cast<const uint8_t*>(pickle.data()),
                       static_cast<int64_t>(pickle.size()), "file.pt", &used);
  EXPECT_EQ(used, static_cast<int64_t>(pickle.size()));
  return dict;
}

std::string Problem(const std::string& pickle) {
  return test::MessageOf([&] { Parse(pickle); });
}

TEST(Pickle, ReadsAStateDict) {
  const PickledDict dict = Parse(StateDict());
  ASSERT_EQ(dict.tensors.size(), 2u);
  EXPECT_EQ(dict.tensors[0].name, "a.qweight");
  EXPECT_EQ(dict.tensors[0].dtype, DType::kI32);
  EXPECT_THAT(dict.tensors[0].shape, ElementsAre(3, 4));
  EXPECT_EQ(dict.tensors[1].dtype, DType::kF16);
  EXPECT_EQ(dict.tensors[1].storage, "1");
  EXPECT_EQ(dict.tensors[1].storage_offset, 2);
  EXPECT_EQ(dict.integers.at("sparse_threshold.a"), 12345);
  EXPECT_EQ(dict.storages.at("0").elements, 12);
}

TEST(Pickle, ReadsIntegersOfEachWidth) {
  const std::string eight("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  const PickledDict dict = Parse(kBegin + Unicode("a") + "K" + Byte(255) + Unicode("b") +
                                 "J\xfe\xff\xff\xff" + Unicode("c") + "\x8a\x01\x80" + Unicode("d") +
                                 eight + "u.");
  EXPECT_EQ(dict.integers.at("a"), 255);
  EXPECT_EQ(dict.integers.at("b"), -2);
  EXPECT_EQ(dict.integers.at("c"), -128);
  EXPECT_EQ(dict.integers.at("d"), INT64_MAX);
}

TEST(Pickle, RefusesWhatIsNoStateDict) {
  EXPECT_THAT(Problem("\x80\x02K\x01."), HasSubstr("expected a dictionary of tensors, found an integer"));
  EXPECT_THAT(Problem(kBegin + std::string("K\x01K\x01u.")), HasSubstr("expected names as keys"));
  EXPECT_THAT(Problem(kBegin + Unicode("a") + Unicode("b") + "u."),
              HasSubstr("a: expected a tensor or an integer, found a string"));
  EXPECT_THAT(Problem(kBegin + Unicode("a") + "cos\nsystem\n" + Unicode("ls") + "\x85Ru."),
              HasSubstr("a: expected a tensor or an integer, found something else"));
  EXPECT_THAT(Problem("\x80\x02i."), HasSubstr("an instruction that no state dict needs at byte 2"));
}

TEST(Pickle, RefusesTensorsThatDoNotFitTheirStorage) {
  const auto one = [](const std::string& tensor) { return kBegin + Unicode("t") + tensor + "u."; };
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 11, 0, {3, 4}, {4, 1}))),
              HasSubstr("file.pt: tensor t: expected 12 elements from element 0 on, found a storage of 11"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 12, 1, {3, 4}, {4, 1}))), HasSubstr("12 elements"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 12, 0, {3, 4}, {1, 3}))), HasSubstr("contiguous"));
  EXPECT_THAT(Problem(one(Tensor("QInt8Storage", "0", 12, 0, {3, 4}, {4, 1}))),
              HasSubstr("type torch QInt8Storage is not supported"));
  EXPECT_THAT(Problem(kBegin + Unicode("a") + Tensor("IntStorage", "0", 4, 0, {4}, {1}) + Unicode("b") +
                      Tensor("HalfStorage", "0", 4, 0, {4}, {1}) + "u."),
              HasSubstr("described in two ways"));
}

// Whatever is cut off or changed gives an error or another dictionary, and touches no memory that it should not
// (which shows under the sanitizers).
TEST(Pickle, SurvivesEveryTruncationAndEveryChangedByte) {
  const std::string whole = StateDict();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Problem(whole.substr(0, size)), HasSubstr("damaged pickle")) << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(value);
      int64_t used = 0;
      try {
        ParsePickledDict(reinterpret_cast<const uint8_t*>(damaged.data()),
                         static_cast<int64_t>(damaged.size()), "file.pt", &used);
      } catch (const Error&) {
      }
    }
  }
}

TEST(Pickle, DeepNestingNeedsNoStack) {
  const std::string deep = "\x80\x02" + std::string(1 << 20, ']') + std::string((1 << 20) - 1, 'a') + ".";
  EXPECT_THAT(Problem(deep), HasSubstr("found a list"));
}

TEST(Pickle, ReadsNamesAndLengths) {
  const std::string names = "\x80\x02](" + Unicode("0") + Unicode("1") + "e.";
  const auto* data = reinterpret_cast<const uint8_t*>(names.data());
  const auto size = static_cast<int64_t>(names.size());
  int64_t used = 0;
  EXPECT_THAT(ParsePickledNames(data, size, "file.pt", &used), ElementsAre("0", "1"));
  EXPECT_EQ(used, size);
  EXPECT_EQ(PickleLength(data, size, "file.pt"), size);
}

}  // namespace
}  // namespace sq
