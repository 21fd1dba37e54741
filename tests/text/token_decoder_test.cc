// What Hugging Face's decoders answer on whole tokenizers: tokenizer_test.cc,
// tokenizer_json_test.cc.
#include "sq/text/token_decoder.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

std::string Decode(DecodeStep step, std::vector<std::string> tokens) {
  return DecodeTokens({std::move(step)}, std::move(tokens));
}

TEST(TokenDecoder, BytesBecomeTextOrReplacementCharacters) {
  const DecodeStep fallback = {DecodeKind::kByteFallback, "", "", 0, 0};
  EXPECT_EQ(Decode(fallback, {"<0xE6>", "<0xBC>", "<0xA2>", "a"}), "\u6f22a");
  EXPECT_EQ(Decode(fallback, {"<0xE6>", "<0xBC>", "a", "<0x41>"}), "\ufffd\ufffdaA");
  EXPECT_EQ(Decode(fallback, {"<0x4>", "<0xGG>", "<0x41>>", "<0x41"}), "<0x4><0xGG><0x41>><0x41");
  const DecodeStep bytes = {DecodeKind::kByteLevel, "", "", 0, 0};
  EXPECT_EQ(Decode(bytes, {"\u0120a", "\u00e6", "\u00bc"}), " a\ufffd");
}

TEST(TokenDecoder, StripsEachToken) {
  const DecodeStep strip = {DecodeKind::kStrip, " ", "", 1, 2};
  EXPECT_EQ(Decode(strip, {"  a   ", "b ", " ", ""}), " a b");
  const DecodeStep fuse = {DecodeKind::kFuse, "", "", 0, 0};
  EXPECT_EQ(DecodeTokens({fuse, strip}, {"  a   ", "b ", " "}), " a   b");
}

TEST(TokenDecoder, MetaspaceDropsTheFirstSymbol) {
  EXPECT_EQ(Decode({DecodeKind::kMetaspace, "_", "", 1, 0}, {"_a", "_b", "_"}), "a b ");
  EXPECT_EQ(Decode({DecodeKind::kMetaspace, "_", "", 0, 0}, {"_a", "_b"}), " a b");
}

TEST(TokenDecoder, WithoutStepsTokensAreJoined) {
  EXPECT_EQ(DecodeTokens({}, {"a", "", "b"}), "ab");
  EXPECT_EQ(DecodeTokens({{DecodeKind::kReplace, "_", " ", 0, 0}}, {"_a", "b_"}), " ab ");
}

}  // namespace
}  // namespace sq
