#include "sq/text/nfc_unsupported.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

TEST(NfcUnsupported, AreMarksAndBlocksOfNewerVersions) {
  for (const char32_t c : {U'\u07fd', U'\u0898', U'\U00011930', U'\U00011935', U'\U000105d2',
                           U'\U00016d67', U'\U0001e6f5'}) {
    EXPECT_TRUE(IsUnsupportedByNfc(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U'a', U'\u0301', U'\u0345', U'\u093c', U'\u1100', U'\ufb1d',
                           U'\U0001d165', U'\U0010ffff'}) {
    EXPECT_FALSE(IsUnsupportedByNfc(c)) << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace sq
