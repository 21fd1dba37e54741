#include "sq/checkpoint/state_dict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/error_message.h"
#include "tests/support/pickle_bytes.h"

namespace sq {
namespace {

using test::MessageOf;
using namespace test::pickle;  // NOLINT: the operations that the tests are written in
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

// On a copy of just that size, so that a sanitizer sees any read beyond it.
StateDict Parse(const std::string& bytes) {
  const std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  return ParseStateDict(copy.data(), static_cast<int64_t>(copy.size()), "m.pt");
}
std::string Refusal(const std::string& bytes) {
  return MessageOf([&] { Parse(bytes); });
}
std::string RefusalOf(const std::string& value) { return Refusal(Pickle(value)); }

std::string Floats(int64_t elements) { return Storage("FloatStorage", "0", elements); }

// What torch.save makes of Module.state_dict(): an ordered dictionary with the attribute _metadata,
// shared storages and a parameter. Made by Python's pickle with stand-ins for the classes of torch.
const std::string kModule(
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

TEST(StateDictTest, ReadsWhatModulesGive) {
  const StateDict dict = Parse(kModule);
  ASSERT_EQ(dict.tensors.size(), 3u);
  EXPECT_EQ(dict.tensors[0].name, "q.qweight");
  EXPECT_EQ(dict.tensors[0].dtype, DType::kI32);
  EXPECT_THAT(dict.tensors[0].shape, ElementsAre(3, 2));
  EXPECT_EQ(dict.tensors[0].storage, "0");
  EXPECT_EQ(dict.tensors[0].storage_elements, 6);
  EXPECT_EQ(dict.tensors[0].first, 0);
  EXPECT_EQ(dict.tensors[1].name, "q.lookup_table");
  EXPECT_EQ(dict.tensors[1].dtype, DType::kF32);
  EXPECT_EQ(dict.tensors[1].storage, "1");
  EXPECT_EQ(dict.tensors[2].name, "norm");
  EXPECT_THAT(dict.tensors[2].shape, ElementsAre(3));
  EXPECT_EQ(dict.tensors[2].storage, "1");
  EXPECT_EQ(dict.tensors[2].storage_elements, 8);
  EXPECT_EQ(dict.tensors[2].first, 4);
  EXPECT_THAT(dict.integers, ElementsAre(Pair("sparse_threshold.q", 300)));
}

TEST(StateDictTest, RefusesAPickleCutAnywhere) {
  for (size_t size = 0; size < kModule.size(); ++size) {
    EXPECT_THAT(Refusal(kModule.substr(0, size)), StartsWith("m.pt: data.pkl, byte ")) << size;
  }
}

// Whatever one byte becomes, the pickle is refused or its tensors lie inside their storages.
TEST(StateDictTest, SurvivesAnyByteChanged) {
  int refused = 0;
  for (size_t at = 0; at < kModule.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = kModule;
      changed[at] = static_cast<char>(value);
      try {
        for (const PickledTensor& tensor : Parse(changed).tensors) {
          ASSERT_GE(tensor.first, 0);
          ASSERT_LE(tensor.first + ElementCount(tensor.shape, "t"), tensor.storage_elements);
        }
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 10'000);
}

TEST(StateDictTest, TakesEmptyAndPlainDictionaries) {
  EXPECT_THAT(Parse(Pickle("}")).tensors, IsEmpty());
  const StateDict dict = Parse(Pickle(Dict(Text("a") + Int(7) + Text("b") + Int(-1))));
  EXPECT_THAT(dict.integers, ElementsAre(Pair("a", 7), Pair("b", -1)));
}

TEST(StateDictTest, ReadsIntegersOfAllSizes) {
  const struct {
    std::string bytes;
    int64_t value;
  } cases[] = {
      {std::string("K\xff"), 255},
      {std::string("M\xff\xff"), 65535},
      {std::string("J\xff\xff\xff\xff"), -1},
      {std::string("J\0\0\0\x80", 5), std::numeric_limits<int32_t>::min()},
      {std::string("\x8a\0", 2), 0},
      {std::string("\x8a\x01\x80"), -128},
      {std::string("\x8a\x06\0\0\0\0\0\x01", 8), int64_t{1} << 40},
      {Int(std::numeric_limits<int64_t>::min()), std::numeric_limits<int64_t>::min()},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Parse(Pickle("}" + Text("n") + c.bytes + "s")).integers.at("n"), c.value);
  }
  EXPECT_THAT(RefusalOf("}" + Text("n") + "\x8a\x09" + std::string(9, '\1') + "s"),
              EndsWith("an integer of 9 bytes"));
}

TEST(StateDictTest, KnowsTheStorageTypesOfOurDtypes) {
  const std::pair<const char*, DType> types[] = {
      {"FloatStorage", DType::kF32},     {"HalfStorage", DType::kF16},
      {"BFloat16Storage", DType::kBF16}, {"DoubleStorage", DType::kF64},
      {"IntStorage", DType::kI32},       {"LongStorage", DType::kI64},
      {"ShortStorage", DType::kI16},     {"CharStorage", DType::kI8},
      {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool}};
  for (const auto& [name, dtype] : types) {
    const std::string tensor = Tensor(Storage(name, "0", 1), 0, Int(1), Int(1));
    EXPECT_EQ(Parse(Pickle(Dict(Text("a") + tensor))).tensors.at(0).dtype, dtype) << name;
  }
  EXPECT_THAT(RefusalOf(Dict(Text("a") + Storage("ComplexFloatStorage", "0", 1))),
              EndsWith("storage type torch.ComplexFloatStorage is not supported"));
}

TEST(StateDictTest, TakesScalarsEmptyTensorsAndStridesOfSingleSteps) {
  const std::string tensors = Text("scalar") + Tensor(Floats(3), 2, "", "") + Text("empty") +
                              Tensor(Floats(0), 0, Int(4) + Int(0), Int(7) + Int(9)) + Text("row") +
                              Tensor(Floats(3), 0, Int(1) + Int(3), Int(77) + Int(1));
  const StateDict dict = Parse(Pickle(Dict(tensors)));
  ASSERT_EQ(dict.tensors.size(), 3u);
  EXPECT_THAT(dict.tensors[0].shape, IsEmpty());
  EXPECT_EQ(dict.tensors[0].first, 2);
  EXPECT_THAT(dict.tensors[1].shape, ElementsAre(4, 0));
  EXPECT_THAT(dict.tensors[2].shape, ElementsAre(1, 3));
}

TEST(StateDictTest, TakesTheTagsOfLibTorchsPickler) {
  const std::string tagged = Global("torch.jit._pickle", "restore_type_tag") +
                             Tuple(Dict(Text("n") + Int(1)) + Text("Dict[str, Any]")) + "R";
  EXPECT_THAT(Parse(Pickle(tagged)).integers, ElementsAre(Pair("n", 1)));
}

TEST(StateDictTest, NamesTheTensorThatDoesNotFit) {
  const auto refusal = [](int64_t elements, int64_t first, const std::string& sizes,
                          const std::string& strides) {
    return RefusalOf(Dict(Text("a") + Tensor(Floats(elements), first, sizes, strides)));
  };
  const std::string a = "m.pt: tensor a: ";
  EXPECT_EQ(refusal(5, 0, Int(2) + Int(3), Int(3) + Int(1)),
            a + "elements 0 to 0 + 6 of a storage of 5");
  EXPECT_EQ(refusal(6, 1, Int(6), Int(1)), a + "elements 1 to 1 + 6 of a storage of 6");
  EXPECT_EQ(refusal(6, -1, Int(1), Int(1)), a + "elements -1 to -1 + 1 of a storage of 6");
  EXPECT_EQ(refusal(6, 7, Int(0), Int(1)), a + "elements 7 to 7 + 0 of a storage of 6");
  EXPECT_EQ(refusal(6, 0, Int(3) + Int(2), Int(1) + Int(3)),
            a + "expected a contiguous dense tensor, found shape [3, 2] with strides [1, 3]");
  EXPECT_EQ(refusal(1, 0, Int(3), Int(0)),
            a + "expected a contiguous dense tensor, found shape [3] with strides [0]");
  EXPECT_EQ(refusal(1, 0, Int(1), ""), a + "0 strides for shape [1]");
  EXPECT_EQ(refusal(1, 0, Text("1"), Int(1)), a + "expected sizes, found text");
  EXPECT_THAT(refusal(1, 0, Int(-1), Int(1)), StartsWith(a + "size 1 x -1 is negative"));
  EXPECT_THAT(refusal(1, 0, Int(int64_t{1} << 62) + Int(4), Int(4) + Int(1)),
              HasSubstr("does not fit 64 bits"));
  std::string ones;
  for (int i = 0; i < 65; ++i) ones += Int(1);
  EXPECT_EQ(refusal(1, 0, ones, ones), a + "65 dimensions");
  EXPECT_THAT(RefusalOf(Dict(Text("a") + Storage("FloatStorage", "0", -4))),
              EndsWith("a storage of -4 elements"));
}

// Bytes by Python's pickle of an object whose __reduce__ gives (os.system, ("touch pwned",)) and
// (eval, ("1+1",)).
TEST(StateDictTest, CallsNothing) {
  const std::string system(
      "\200\002}q\000X\001\000\000\000aq\001cposix\012system\012q\002X\013\000\000\000touch"
      " pwnedq\003\205q\004Rq\005s.",
      55);
  EXPECT_EQ(Refusal(system),
            "m.pt: data.pkl, byte 51: calls posix.system; expected tensors and plain values only");
  const std::string eval(
      "\200\002}q\000X\001\000\000\000aq\001c__builtin__\012eval\012q\002X\003\000\000\0001"
      "+1q\003\205q\004Rq\005s.",
      51);
  EXPECT_THAT(Refusal(eval), HasSubstr("calls __builtin__.eval; expected tensors"));
  // The functions that are known want their own arguments.
  for (const char* name : {"_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_qtensor"}) {
    EXPECT_THAT(RefusalOf(Dict(Text("a") + Global("torch._utils", name) + Tuple(Int(1)) + "R")),
                HasSubstr(StrCat("calls torch._utils.", name)));
  }
  EXPECT_THAT(RefusalOf(Global("collections", "OrderedDict") + Tuple("]") + "R"),
              HasSubstr("calls collections.OrderedDict"));
}

TEST(StateDictTest, SaysWhatIsNoStateDict) {
  EXPECT_EQ(RefusalOf(Int(1)), "m.pt: expected a dictionary of tensors, found an integer");
  EXPECT_EQ(RefusalOf(Tuple("")), "m.pt: expected a dictionary of tensors, found a tuple");
  EXPECT_EQ(RefusalOf("N"), "m.pt: expected a dictionary of tensors, found None");
  EXPECT_EQ(RefusalOf(Dict(Int(1) + Int(1))), "m.pt: expected names as keys, found an integer");
  EXPECT_EQ(RefusalOf(Dict(Text("a") + "}")),
            "m.pt: a: expected a tensor or an integer, found a dictionary");
  EXPECT_EQ(RefusalOf(Dict(Text("a") + "\x88")),
            "m.pt: a: expected a tensor or an integer, found a truth value");
  EXPECT_EQ(RefusalOf(Dict(Text("a") + "G12345678")),
            "m.pt: a: expected a tensor or an integer, found a fraction");
  EXPECT_EQ(RefusalOf(Dict(Text("a") + Text("b"))),
            "m.pt: a: expected a tensor or an integer, found text");
  EXPECT_EQ(RefusalOf(Dict(Text("a") + Int(1) + Text("a") + Int(2))), "m.pt: a is there twice");
  EXPECT_EQ(Refusal("\x80\x04}."), "m.pt: data.pkl, byte 2: expected a pickle of protocol 2");
  EXPECT_EQ(Refusal("}."), "m.pt: data.pkl, byte 1: expected a pickle of protocol 2");
  EXPECT_EQ(Refusal(""), "m.pt: data.pkl, byte 0: truncated");
}

TEST(StateDictTest, RefusesOperationsThatDoNotFitTogether) {
  const struct {
    std::string value;
    const char* message;
  } cases[] = {
      {"", "a value is missing"},
      {"R", "a value is missing"},
      {"b", "a value is missing"},
      {"}b", "a value is missing"},
      {"}s", "a value is missing"},
      {"u", "a mark is missing"},
      {"t", "a mark is missing"},
      {"(u", "a value is missing"},
      {"}(" + Int(1) + "u", "a key without a value"},
      {"}(s", "a value is missing"},  // nothing below a mark may be taken
      {"}(" + Int(1) + Int(2) + "\x87", "a value is missing"},
      {"](u", "expected a dictionary, found a list"},
      {"}(e", "expected a list, found a dictionary"},
      {Int(1) + "}b", "expected a dictionary, found an integer"},
      {"})R", "expected a global name, found a dictionary"},
      {"}}R", "expected a tuple, found a dictionary"},
      {Tuple(Int(1)) + "Q", "expected the description of a storage"},
      {"}Q", "expected a tuple, found a dictionary"},
      {"h\x05", "nothing is kept under 5"},
      {"j" + Little(0xffffffff, 4), "nothing is kept under 4294967295"},
      {"X" + Little(0xffffffff, 4), "truncated"},
      {"ctorch\n", "truncated"},
      {std::string("\x95"), "operation 149 is not supported"},
      {std::string("0"), "operation 48 is not supported"},
      {std::string("i"), "operation 105 is not supported"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(RefusalOf(c.value),
                ::testing::AllOf(StartsWith("m.pt: data.pkl, byte "), EndsWith(c.message)))
        << ::testing::PrintToString(c.value);
  }
}

TEST(StateDictTest, BearsHostileNestingCyclesAndKeys) {
  // Deeper than any recursion could go.
  EXPECT_EQ(RefusalOf(")" + std::string(2'000'000, '\x85')),
            "m.pt: expected a dictionary of tensors, found a tuple");
  EXPECT_EQ(RefusalOf(std::string(1'000'000, ']') + std::string(999'999, 'a')),
            "m.pt: expected a dictionary of tensors, found a list");
  // A dictionary inside itself.
  EXPECT_EQ(RefusalOf("}q\x01" + Text("a") + "h\x01s"),
            "m.pt: a: expected a tensor or an integer, found a dictionary");
  // A place that a table would need gigabytes for.
  EXPECT_EQ(RefusalOf("}r" + Little(0xffffffff, 4)), "");
}

// Values that are named many times are not copied each time: this would take terabytes.
TEST(StateDictTest, BearsValuesThatAreNamedManyTimes) {
  const std::string long_key(100'000, 'k');
  EXPECT_THAT(RefusalOf(Dict(Text("a") + Storage("FloatStorage", long_key, 1))),
              EndsWith("a storage's key of 100000 bytes"));
  std::string sizes;
  for (int i = 0; i < 200'000; ++i) sizes += "K\x01";
  // One huge tuple of arguments, and calls with it.
  std::string value = Global("torch._utils", "_rebuild_tensor_v2") + "q\x01" +
                      Tuple(Floats(1) + Int(0) + "))" + sizes) + "q\x02R";
  for (int i = 0; i < 200'000; ++i) value += "h\x01h\x02R";
  EXPECT_EQ(RefusalOf(value), "m.pt: expected a dictionary of tensors, found a tensor");
}

}  // namespace
}  // namespace sq
