#include "sq/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::Entry;
using test::MessageOf;
using test::SafetensorsBytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

// On a copy of just that size, so that a sanitizer sees any read beyond it.
Safetensors Parse(const std::string& bytes) {
  const std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  return ParseSafetensorsHeader(copy.data(), static_cast<int64_t>(copy.size()), "m.safetensors");
}

std::string Refusal(const std::string& bytes) {
  const std::string message = MessageOf([&] { Parse(bytes); });
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  return message;
}

// Of a file with this header, in braces, and so many bytes of data.
std::string RefusalOf(const std::string& entries, size_t data_bytes) {
  return Refusal(SafetensorsBytes("{" + entries + "}", std::string(data_bytes, 'd')));
}

template <typename T>
TensorView View(const std::string& name, DType dtype, const Shape& shape,
                const std::vector<T>& values) {
  return {name, dtype, shape, values.data(), static_cast<int64_t>(values.size() * sizeof(T))};
}

TEST(Safetensors, GivesBackWhatWasWritten) {
  const std::string path = test::ScratchFolder() + "/m.safetensors";
  const std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> bytes = {7, 8, 9};
  const std::vector<int64_t> scalar = {-1};
  const std::vector<uint16_t> none;
  const std::vector<TensorView> tensors = {
      View("z.weight", DType::kF32, {2, 3}, matrix), View("bytes", DType::kU8, {3}, bytes),
      View("scalar", DType::kI64, {}, scalar), View("none", DType::kBF16, {4, 0}, none)};
  WriteSafetensors(path, tensors, {{"format", "pt"}, {"note", "\"quoted\" \xc3\xa9\n"}});

  const Safetensors read = OpenSafetensors(path);
  EXPECT_THAT(read.metadata,
              ElementsAre(Pair("format", "pt"), Pair("note", "\"quoted\" \xc3\xa9\n")));
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(read.tensors[i].name, tensors[i].name);
    EXPECT_EQ(read.tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(read.tensors[i].shape, tensors[i].shape);
    ASSERT_EQ(read.tensors[i].bytes, tensors[i].bytes);
    if (tensors[i].bytes == 0) continue;
    EXPECT_EQ(
        std::memcmp(read.tensors[i].data(), tensors[i].data, static_cast<size_t>(tensors[i].bytes)),
        0);
  }
  EXPECT_EQ(read.tensors[0].Where(), path + ": tensor z.weight");
  EXPECT_EQ(read.tensors[0].offset % 8, 0);
}

TEST(Safetensors, WritesTheSameBytesTwice) {
  const std::string folder = test::ScratchFolder();
  const std::vector<float> values = {1, 2};
  for (const char* name : {"/a", "/b"}) {
    WriteSafetensors(folder + name, {View("w", DType::kF32, {2}, values)}, {{"format", "pt"}});
  }
  EXPECT_EQ(ReadFile(folder + "/a", 1000), ReadFile(folder + "/b", 1000));
}

TEST(Safetensors, LeavesNoFileUnlessCommitted) {
  const std::string folder = test::ScratchFolder();
  const std::vector<float> values = {1};
  {
    SafetensorsWriter writer(folder + "/m.safetensors", {View("w", DType::kF32, {1}, values)}, {});
    writer.Append(View("w", DType::kF32, {1}, values));
  }
  EXPECT_THAT(test::NamesIn(folder), IsEmpty());
}

TEST(Safetensors, TakesAFileWithoutTensors) {
  EXPECT_THAT(Parse(SafetensorsBytes("{}", "")).tensors, IsEmpty());
  const Safetensors read = Parse(SafetensorsBytes(R"({"__metadata__":{"a":"b"}})", ""));
  EXPECT_THAT(read.tensors, IsEmpty());
  EXPECT_THAT(read.metadata, ElementsAre(Pair("a", "b")));
}

TEST(Safetensors, OrdersTensorsByTheirDataAtAnyAlignment) {
  // A header of an odd length, and a tensor of one byte before the floats.
  std::string header = "{" + Entry("a", "F32", "[1]", "[1,5]") + "," +
                       Entry("b", "U8", "[1]", "[0,1]") + "," + Entry("c", "F16", "[0]", "[1,1]") +
                       "}";
  if (header.size() % 2 == 0) header += ' ';
  const float value = 2.5f;
  std::string data(5, 'b');
  std::memcpy(&data[1], &value, 4);
  const std::string path = test::ScratchFolder() + "/m.safetensors";
  WriteFile(path, SafetensorsBytes(header, data));
  const Safetensors read = OpenSafetensors(path);
  ASSERT_EQ(read.tensors.size(), 3u);
  EXPECT_EQ(read.tensors[0].name, "b");
  EXPECT_EQ(read.tensors[1].name, "c");
  EXPECT_EQ(read.tensors[2].name, "a");
  EXPECT_EQ(read.tensors[2].offset % 2, 0);
  EXPECT_THAT(ReadFloats(read.tensors[2]), ElementsAre(2.5f));
}

TEST(Safetensors, RefusesAFileCutAnywhere) {
  const std::string whole =
      SafetensorsBytes("{" + Entry("a", "F32", "[2]", "[0,8]") + "," +
                           Entry("b", "U8", "[]", "[8,9]") + R"(,"__metadata__":{"format":"pt"}})",
                       "123456789");
  EXPECT_EQ(Refusal(whole), "");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Refusal(whole.substr(0, size)), StartsWith("m.safetensors: ")) << size;
  }
  EXPECT_THAT(Refusal(whole + "x"), HasSubstr("expected "));
}

// Whatever one byte becomes, the file is refused or its tensors lie inside it.
TEST(Safetensors, SurvivesAnyByteChanged) {
  const std::string whole = SafetensorsBytes(
      "{" + Entry("a", "F32", "[2]", "[0,8]") + "," + Entry("b", "I8", "[1,1]", "[8,9]") + "}",
      "123456789");
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[at] = static_cast<char>(value);
      try {
        for (const FileTensor& tensor : Parse(changed).tensors) {
          ASSERT_GE(tensor.offset, 8);
          ASSERT_LE(tensor.offset + tensor.bytes, static_cast<int64_t>(whole.size()));
          ASSERT_EQ(tensor.bytes, ElementCount(tensor.shape, "t") * DTypeBytes(tensor.dtype));
        }
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 10'000);
}

TEST(Safetensors, RefusesHeaderLengthsOfNoFile) {
  EXPECT_EQ(Refusal(""), "m.safetensors: truncated: expected at least 8 bytes, found 0");
  EXPECT_EQ(Refusal("1234567"), "m.safetensors: truncated: expected at least 8 bytes, found 7");
  EXPECT_EQ(Refusal(std::string(7, '\0') + '\x80' + "{}"),
            "m.safetensors: not a safetensors file: header of 9223372036854775808 bytes");
  EXPECT_EQ(Refusal(std::string(8, '\xff') + "{}"),
            "m.safetensors: not a safetensors file: header of 18446744073709551615 bytes");
  EXPECT_EQ(Refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)),
            "m.safetensors: not a safetensors file: header of 100000001 bytes");
  EXPECT_EQ(Refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)),
            "m.safetensors: truncated: expected a header of 3 bytes, found 2");
  EXPECT_THAT(Refusal("PK\x03\x04 a zip archive"),
              StartsWith("m.safetensors: not a safetensors file: header of "));
}

TEST(Safetensors, RefusesHeadersThatAreNoTableOfTensors) {
  for (const char* header : {"", "{", "nul", "{\"a\xff\":1}", "{\"a\":\"\xc3\x28\"}", "{'a':1}"}) {
    EXPECT_THAT(Refusal(SafetensorsBytes(header, "")), StartsWith("m.safetensors: not valid JSON"))
        << header;
  }
  for (const char* header : {"[]", "1", "\"text\"", "null"}) {
    EXPECT_EQ(Refusal(SafetensorsBytes(header, "")), "m.safetensors: expected an object as header");
  }
  const std::string deep = "{\"a\":" + std::string(200, '[') + std::string(200, ']') + "}";
  EXPECT_THAT(Refusal(SafetensorsBytes(deep, "")), HasSubstr("nested deeper than 100 levels"));
}

TEST(Safetensors, NamesTheTensorWhoseEntryIsDamaged) {
  const std::string fields = "m.safetensors: tensor a: expected dtype, shape and data_offsets";
  EXPECT_THAT(RefusalOf(R"("a":1)", 0), StartsWith(fields));
  EXPECT_THAT(RefusalOf(R"("a":{})", 0), StartsWith(fields));
  EXPECT_THAT(RefusalOf(R"("a":[])", 0), StartsWith(fields));
  EXPECT_THAT(RefusalOf(R"("a":{"dtype":"F32","shape":[1]})", 4), StartsWith(fields));
  EXPECT_THAT(RefusalOf(R"("a":{"dtype":"F32","data_offsets":[0,4]})", 4), StartsWith(fields));
  EXPECT_THAT(RefusalOf(R"("a":{"shape":[1],"data_offsets":[0,4]})", 4), StartsWith(fields));
  EXPECT_EQ(RefusalOf(R"("a":{"dtype":3,"shape":[1],"data_offsets":[0,4]})", 4),
            "m.safetensors: tensor a: expected a name as dtype");
  EXPECT_EQ(RefusalOf(Entry("a", "F8_E4M3", "[4]", "[0,4]"), 4),
            "m.safetensors: tensor a: unknown type \"F8_E4M3\"");
  EXPECT_EQ(RefusalOf(Entry("a", "f32", "[1]", "[0,4]"), 4),
            "m.safetensors: tensor a: unknown type \"f32\"");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "1", "[0,4]"), 4),
            "m.safetensors: tensor a: expected a list as shape");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "{\"0\":1}", "[0,4]"), 4),
            "m.safetensors: tensor a: expected a list as shape");
  for (const char* offsets : {"[0]", "[0,2,4]", "[]", "4", "{\"0\":0,\"1\":4}"}) {
    EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1]", offsets), 4),
              "m.safetensors: tensor a: expected two data_offsets");
  }
}

TEST(Safetensors, RefusesSizesThatAreNone) {
  const std::string a = "m.safetensors: tensor a: expected a size, found ";
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[-1]", "[0,4]"), 4), a + "-1");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1.0]", "[0,4]"), 4), a + "1.0");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1]", "[-4,0]"), 4), a + "-4");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[18446744073709551615]", "[0,4]"), 4),
            a + "18446744073709551615");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1]", "[0,9223372036854775808]"), 4),
            a + "9223372036854775808");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1e400]", "[0,4]"), 4).substr(0, 30),
            "m.safetensors: not valid JSON:");
}

// However long it is: the message stays one that can be read.
TEST(Safetensors, SaysWhatStandsInTheSizesPlace) {
  const std::string a = "m.safetensors: tensor a: expected a size, found ";
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[\"4\"]", "[0,4]"), 4), a + "a string");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[null]", "[0,4]"), 4), a + "null");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[[1,1,1,1,1]]", "[0,4]"), 4), a + "an array");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[1]", "[{},4]"), 4), a + "an object");
}

TEST(Safetensors, RefusesSizesThatDoNotFitTheirOffsets) {
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[2]", "[0,4]"), 4),
            "m.safetensors: tensor a: expected 8 bytes for shape [2] of F32, found offsets 0 to 4");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[]", "[0,0]"), 0),
            "m.safetensors: tensor a: expected 4 bytes for shape [] of F32, found offsets 0 to 0");
  EXPECT_EQ(RefusalOf(Entry("a", "F32", "[0]", "[0,4]"), 4),
            "m.safetensors: tensor a: expected 0 bytes for shape [0] of F32, found offsets 0 to 4");
  EXPECT_EQ(RefusalOf(Entry("a", "U8", "[4]", "[8,4]"), 8),
            "m.safetensors: tensor a: expected 4 bytes for shape [4] of U8, found offsets 8 to 4");
}

TEST(Safetensors, RefusesProductsThatOverflow) {
  // 2^32 * 2^32 is 0 in 64 bits, and so is 2^62 elements of 4 bytes.
  EXPECT_THAT(RefusalOf(Entry("a", "U8", "[4294967296,4294967296]", "[0,0]"), 0),
              StartsWith("m.safetensors: tensor a: size 4294967296 x 4294967296 is negative or"));
  EXPECT_THAT(RefusalOf(Entry("a", "F32", "[4611686018427387904]", "[0,0]"), 0),
              StartsWith("m.safetensors: tensor a: size 4611686018427387904 x 4 is negative or"));
  const std::string largest = "9223372036854775807";
  EXPECT_THAT(RefusalOf(Entry("a", "U8", "[0]", "[" + largest + "," + largest + "]"), 0),
              HasSubstr("does not fit 64 bits"));
}

TEST(Safetensors, RefusesHolesOverlapsAndDataOutsideTheFile) {
  // The header's length moves the places, so messages are compared up to them.
  EXPECT_THAT(RefusalOf(Entry("a", "U8", "[4]", "[1,5]"), 5),
              StartsWith("m.safetensors: tensor a: expected its data at byte "));
  EXPECT_THAT(
      RefusalOf(Entry("a", "U8", "[4]", "[0,4]") + "," + Entry("b", "U8", "[4]", "[5,9]"), 9),
      StartsWith("m.safetensors: tensor b: expected its data at byte "));
  EXPECT_THAT(
      RefusalOf(Entry("a", "U8", "[4]", "[0,4]") + "," + Entry("b", "U8", "[4]", "[3,7]"), 7),
      StartsWith("m.safetensors: tensor b: expected its data at byte "));
  EXPECT_THAT(
      RefusalOf(Entry("a", "U8", "[4]", "[0,4]") + "," + Entry("b", "U8", "[4]", "[0,4]"), 4),
      StartsWith("m.safetensors: tensor b: expected its data at byte "));
  EXPECT_THAT(RefusalOf(Entry("a", "U8", "[4]", "[0,4]"), 3),
              StartsWith("m.safetensors: truncated: tensor a ends at byte "));
  EXPECT_THAT(RefusalOf(Entry("a", "U8", "[4]", "[0,4]"), 5), HasSubstr(" bytes, found "));
  EXPECT_THAT(RefusalOf("", 1), HasSubstr(" bytes, found "));
}

TEST(Safetensors, RefusesANameWithTwoPlaces) {
  EXPECT_THAT(
      RefusalOf(Entry("a", "U8", "[4]", "[0,4]") + "," + Entry("a", "U8", "[4]", "[4,8]"), 8),
      StartsWith("m.safetensors: tensor a: expected its data at byte "));
}

TEST(Safetensors, RefusesMetadataThatIsNoText) {
  EXPECT_EQ(RefusalOf(R"("__metadata__":[])", 0),
            "m.safetensors: expected an object as __metadata__");
  EXPECT_EQ(RefusalOf(R"("__metadata__":{"format":1})", 0),
            "m.safetensors: expected text as __metadata__ \"format\"");
}

TEST(Safetensors, NamesAFileThatCannotBeOpened) {
  const std::string folder = test::ScratchFolder();
  EXPECT_EQ(MessageOf([&] { OpenSafetensors(folder + "/none"); }),
            folder + "/none: cannot open: No such file or directory");
  WriteFile(folder + "/empty", "");
  EXPECT_EQ(MessageOf([&] { OpenSafetensors(folder + "/empty"); }),
            folder + "/empty: truncated: expected at least 8 bytes, found 0");
}

}  // namespace
}  // namespace sq
