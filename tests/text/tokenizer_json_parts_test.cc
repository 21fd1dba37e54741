// Damage and what is not supported: tokenizer_json_test.cc.
#include "sq/text/tokenizer_json_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Json = nlohmann::json;

TEST(TokenizerJsonParts, MissingPartsDoNothing) {
  for (const char* text :
       {"{}", R"({"normalizer": null, "decoder": null, "post_processor": null})"}) {
    const Json file = Json::parse(text);
    EXPECT_THAT(ParseNormalizer(file, "t"), IsEmpty());
    EXPECT_THAT(ParseDecoder(file, "t"), IsEmpty());
    EXPECT_EQ(ParsePreTokenizer(file, "t").symbols, BpeSymbols::kCharacters);
    EXPECT_THAT(ParsePostProcessor(file, "t").prefix, IsEmpty());
  }
}

TEST(TokenizerJsonParts, SequencesAreFlattened) {
  const Json file = Json::parse(R"({
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [
      {"type": "NFC"}]}, {"type": "Prepend", "prepend": "_"}]},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 2}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "ByteLevel", "add_prefix_space": false}]}})");
  const auto normalizer = ParseNormalizer(file, "t");
  ASSERT_EQ(normalizer.size(), 2u);
  EXPECT_EQ(normalizer[0].kind, NormalizeKind::kNfc);
  EXPECT_EQ(normalizer[1].to, "_");
  const auto decoder = ParseDecoder(file, "t");
  ASSERT_EQ(decoder.size(), 2u);
  EXPECT_EQ(decoder[1].from, " ");
  EXPECT_EQ(decoder[1].start, 1);
  EXPECT_EQ(decoder[1].stop, 2);
  EXPECT_EQ(ParsePreTokenizer(file, "t").symbols, BpeSymbols::kBytes);
}

TEST(TokenizerJsonParts, TemplatesGiveIdsAroundAText) {
  const Json file = Json::parse(R"({"post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "y"}}],
    "special_tokens": {"x": {"ids": [1, 2]}, "y": {"ids": [3]}}}})");
  const AddedIds ids = ParsePostProcessor(file, "t");
  EXPECT_THAT(ids.prefix, ElementsAre(1, 2));
  EXPECT_THAT(ids.suffix, ElementsAre(3));
}

}  // namespace
}  // namespace sq
