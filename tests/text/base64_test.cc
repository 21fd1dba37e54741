#include "sq/text/base64.h"

#include <gtest/gtest.h>

#include "tests/support/error_message.h"

namespace sq {
namespace {

TEST(Base64, DecodesTheTestVectorsOfRfc4648) {
  for (const auto& [text, bytes] :
       {std::pair("", ""), std::pair("Zg==", "f"), std::pair("Zm8=", "fo"),
        std::pair("Zm9v", "foo"), std::pair("Zm9vYg==", "foob"), std::pair("Zm9vYmE=", "fooba"),
        std::pair("Zm9vYmFy", "foobar")}) {
    EXPECT_EQ(DecodeBase64(text, "t"), bytes);
  }
}

TEST(Base64, PaddingMayBeMissingButNotWrong) {
  EXPECT_EQ(DecodeBase64("Zg", "t"), "f");
  EXPECT_EQ(DecodeBase64("Zm8", "t"), "fo");
  EXPECT_EQ(DecodeBase64("/+8A", "t"), std::string("\xff\xef\0", 3));
  for (const char* text : {"Z", "Zm9vY", "Zg=", "Zm8==", "=", "====", "Zg==Zg==", "Zm 9", "Zm9\n",
                           "Zm9-", "Zm9\xc3"}) {
    EXPECT_EQ(test::MessageOf([&] { DecodeBase64(text, "t"); }).rfind("t: expected base64", 0), 0u)
        << text;
  }
}

}  // namespace
}  // namespace sq
