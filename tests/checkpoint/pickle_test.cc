// Pickles as torch.save writes them, put together by hand, and what becomes of them when they are
// damaged.
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
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + Unicode("storage") + "ctorch\n" + storage +
         "\n" + Unicode(key) + Unicode("cpu") + "K" + Byte(elements) + "tQK" + Byte(offset) +
         Tuple(shape) + Tuple(strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}

const char kBegin[] = "\x80\x02}(";

// An OrderedDict with attributes, as state_dict() gives it.
std::string StateDict() {
  return "\x80\x02"
         "ccollections\nOrderedDict\n)Rq" +
         Byte(0) + "(" + Unicode("a.qweight") + Tensor("IntStorage", "0", 12, 0, {3, 4}, {4, 1}) +
         Unicode("a.bias") + Tensor("HalfStorage", "1", 8, 2, {1, 4}, {77, 1}) +
         Unicode("sparse_threshold.a") + "M\x39\x30" + "u}" + Unicode("_metadata") + "h" + Byte(0) +
         "sb.";
}

PickledDict Parse(const std::string& pickle) {
  int64_t used = 0;
  PickledDict dict = ParsePickledDict(reinterpret_cast<const uint8_t*>(pickle.data()),
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
  const PickledDict dict =
      Parse(kBegin + Unicode("a") + "K" + Byte(255) + Unicode("b") + "J\xfe\xff\xff\xff" +
            Unicode("c") + "\x8a\x01\x80" + Unicode("d") + eight + "u.");
  EXPECT_EQ(dict.integers.at("a"), 255);
  EXPECT_EQ(dict.integers.at("b"), -2);
  EXPECT_EQ(dict.integers.at("c"), -128);
  EXPECT_EQ(dict.integers.at("d"), INT64_MAX);
}

TEST(Pickle, RefusesWhatIsNoStateDict) {
  EXPECT_THAT(Problem("\x80\x02K\x01."),
              HasSubstr("expected a dictionary of tensors, found an integer"));
  EXPECT_THAT(Problem(kBegin + std::string("K\x01K\x01u.")), HasSubstr("expected names as keys"));
  EXPECT_THAT(Problem(kBegin + Unicode("a") + Unicode("b") + "u."),
              HasSubstr("a: expected a tensor or an integer, found a string"));
  EXPECT_THAT(Problem("\x80\x02i."),
              HasSubstr("an instruction that no state dict needs at byte 2"));
}

TEST(Pickle, RefusesTensorsThatDoNotFitTheirStorage) {
  const auto one = [](const std::string& tensor) { return kBegin + Unicode("t") + tensor + "u."; };
  EXPECT_THAT(
      Problem(one(Tensor("IntStorage", "0", 11, 0, {3, 4}, {4, 1}))),
      HasSubstr(
          "file.pt: tensor t: expected 12 elements from element 0 on, found a storage of 11"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 12, 1, {3, 4}, {4, 1}))),
              HasSubstr("12 elements"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 11, 0, {3, 4}, {1, 3}))),
              HasSubstr("expected 12 elements from element 0 on, found a storage of 11"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 16, 0, {3, 4}, {6, 1}))), "");
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 16, 1, {3, 4}, {6, 1}))),
              HasSubstr("expected 16 elements from element 1 on, found a storage of 16"));
  // A small storage named often in one tensor would make a large copy.
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 4, 0, {99, 4}, {0, 1}))),
              HasSubstr("expected 396 elements from element 0 on, found a storage of 4"));
  EXPECT_THAT(Problem(one(Tensor("IntStorage", "0", 12, 0, {3, 4}, {1}))),
              HasSubstr("damaged pickle: 2 sizes but 1 strides"));
  EXPECT_THAT(Problem(one(Tensor("QInt8Storage", "0", 12, 0, {3, 4}, {4, 1}))),
              HasSubstr("type \"torch QInt8Storage\" is not supported"));
  EXPECT_THAT(Problem(kBegin + Unicode("a") + Tensor("IntStorage", "0", 4, 0, {4}, {1}) +
                      Unicode("b") + Tensor("HalfStorage", "0", 4, 0, {4}, {1}) + "u."),
              HasSubstr("described in two ways"));
}

// Whatever is cut off or changed gives an error or another dictionary, and touches no memory that
// it should not (which shows under the sanitizers).
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

TEST(Pickle, BearsADictionaryInsideItself) {
  EXPECT_THAT(Problem("\x80\x02}q\x01" + Unicode("a") + "h\x01s."),
              HasSubstr("a: expected a tensor or an integer, found a dictionary"));
}

TEST(Pickle, ReservesNothingForPlacesAndLengthsThatAreClaimed) {
  const std::string huge = "\xff\xff\xff\xff";
  EXPECT_EQ(Problem("\x80\x02}r" + huge + "."), "");
  EXPECT_THAT(Problem("\x80\x02j" + huge + "."), HasSubstr("refers to a value that is not there"));
  EXPECT_THAT(Problem("\x80\x02X" + huge + "."), HasSubstr("ends too early"));
  EXPECT_THAT(Problem("\x80\x02\x8d" + huge + huge + "."), HasSubstr("ends too early"));
}

// Memory is in proportion to the pickle, and the pickle is bounded.
TEST(Pickle, RefusesAPickleLongerThanAnyModels) {
  const std::string large = "\x80\x02X" + std::string("\0\0\0\x01", 4) + std::string(1 << 24, 'x');
  EXPECT_THAT(Problem(large + "."), HasSubstr("damaged pickle: too long at byte 7"));
}

// One tuple of many sizes, or one long key, named by many tensors: copied each time, they would
// take terabytes.
TEST(Pickle, RefusesLongValuesThatAreNamedManyTimes) {
  std::string sizes;
  for (int i = 0; i < 65; ++i) sizes += "K\x01";
  const std::string tensor = Tensor("IntStorage", "0", 1, 0, {1}, {1});
  std::string many = tensor;
  const std::string one = Tuple({1});
  many.replace(many.find(one), one.size(), "(" + sizes + "t");
  EXPECT_EQ(Problem(kBegin + Unicode("a") + many + "u."),
            "file.pt: tensor a: damaged pickle: 65 dimensions");
  std::string key = "X" + Byte(0) + Byte(4) + std::string(2, '\0') + std::string(1024, 'k');
  std::string keyed = tensor;
  keyed.replace(keyed.find(Unicode("0")), Unicode("0").size(), key);
  EXPECT_EQ(Problem(kBegin + Unicode("a") + keyed + "u."),
            "file.pt: tensor a: expected printable names of at most 256 bytes, found \"" +
                std::string(80, 'k') + "...\"");
}

TEST(Pickle, KeepsTheStridesOfATensorThatIsNotContiguous) {
  const PickledDict dict =
      Parse(kBegin + Unicode("t") + Tensor("IntStorage", "0", 12, 0, {3, 4}, {1, 3}) +
            Unicode("c") + Tensor("IntStorage", "0", 12, 0, {3, 1, 4}, {4, 99, 1}) + Unicode("e") +
            Tensor("IntStorage", "0", 12, 12, {0, 4}, {1, 3}) + "u.");
  EXPECT_THAT(dict.tensors[0].strides, ElementsAre(1, 3));
  EXPECT_THAT(dict.tensors[1].strides, ElementsAre());
  EXPECT_THAT(dict.tensors[2].strides, ElementsAre());
}

// Names go into messages and listings: none may steer a terminal.
TEST(Pickle, RefusesNamesThatAreNotPrintable) {
  const std::string tensor = Tensor("IntStorage", "0", 1, 0, {1}, {1});
  EXPECT_EQ(Problem(kBegin + Unicode("a\x1b[2J\n") + tensor + "u."),
            "file.pt: expected printable names of at most 256 bytes, found \"a\\x1b[2J\\x0a\"");
  EXPECT_EQ(Problem(kBegin + Unicode("a\x1b") + "K\x01u."),
            "file.pt: expected printable names of at most 256 bytes, found \"a\\x1b\"");
  EXPECT_EQ(Problem(kBegin + Unicode("a") + Tensor("IntStorage", "\n", 1, 0, {1}, {1}) + "u."),
            "file.pt: tensor a: expected printable names of at most 256 bytes, found \"\\x0a\"");
}

TEST(Pickle, RefusesAStorageInsideAnother) {
  std::string tensor = Tensor("IntStorage", "0", 4, 0, {4}, {1});
  const size_t end = tensor.find("tQ");
  EXPECT_EQ(Problem(kBegin + Unicode("a") + std::string(tensor).insert(end, "N") + "u."), "");
  EXPECT_EQ(Problem(kBegin + Unicode("a") + tensor.insert(end, Tuple({1, 2, 3})) + "u."),
            "file.pt: tensor a: a storage inside another is not supported");
}

TEST(Pickle, ReadsParametersAndTensorsOfOldVersions) {
  const std::string tensor = Tensor("IntStorage", "0", 4, 0, {4}, {1});
  const std::string parameter =
      "ctorch._utils\n_rebuild_parameter_with_state\n(" + tensor + "\x88NNtR";
  std::string old = tensor;
  old.replace(old.find("_v2"), 3, "");
  const PickledDict dict = Parse(kBegin + Unicode("p") + parameter + Unicode("o") + old + "u.");
  EXPECT_THAT(dict.tensors[0].shape, ElementsAre(4));
  EXPECT_THAT(dict.tensors[1].shape, ElementsAre(4));
}

// Bytes by Python's pickle of {"a": x} where x.__reduce__() gives (os.system, ("touch pwned",)).
TEST(Pickle, CallsNothing) {
  const std::string system(
      "\200\002}q\000X\001\000\000\000aq\001cposix\012system\012q\002X\013\000\000\000touch"
      " pwnedq\003\205q\004Rq\005s.",
      55);
  EXPECT_EQ(
      Problem(system),
      "file.pt: asks to call \"posix.system\", which no tensor needs: no code of a file is run");
}

// What torch.save makes of Module.state_dict() with a parameter and storages that are shared. By
// Python's pickle, with stand-ins for the classes of torch.
TEST(Pickle, ReadsWhatPythonsPickleWrites) {
  const std::string module(
      "\200\002ccollections\012OrderedDict\012q\000)Rq\001(X\011\000\000\000q.qweightq\002c"
      "torch._utils\012_rebuild_tensor_v2\012q\003((X\007\000\000\000storageq\004ctorch\012"
      "IntStorage\012q\005X\001\000\000\0000q\006X\003\000\000\000cpuq\007K\006tq\010QK\000"
      "K\003K\002\206q\011K\002K\001\206q\012\211h\000)Rq\013tq\014Rq\015X\016\000\000\000q"
      ".lookup_tableq\016h\003((h\004ctorch\012FloatStorage\012q\017X\001\000\000\0001q\020"
      "h\007K\010tq\021QK\000K\002K\002\206q\022h\012\211h\000)Rq\023tq\024Rq\025X\004\000"
      "\000\000normq\026ctorch._utils\012_rebuild_parameter\012q\027h\003((h\004h\017h\020h"
      "\007K\010tq\030QK\004K\003\205q\031K\001\205q\032\211h\000)Rq\033tq\034Rq\035\210h"
      "\000)Rq\036\207q\037Rq X\022\000\000\000sparse_threshold.qq!M,\001u}q\"X\011\000\000"
      "\000_metadataq#h\000)Rq$X\000\000\000\000q%}q&X\007\000\000\000versionq'K\001sssb.",
      450);
  const PickledDict dict = Parse(module);
  ASSERT_EQ(dict.tensors.size(), 3u);
  EXPECT_THAT(dict.tensors[0].shape, ElementsAre(3, 2));
  EXPECT_EQ(dict.tensors[2].name, "norm");
  EXPECT_THAT(dict.tensors[2].shape, ElementsAre(3));
  EXPECT_EQ(dict.tensors[2].storage, "1");
  EXPECT_EQ(dict.tensors[2].storage_offset, 4);
  EXPECT_EQ(dict.storages.at("1").elements, 8);
  EXPECT_EQ(dict.integers.at("sparse_threshold.q"), 300);
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
