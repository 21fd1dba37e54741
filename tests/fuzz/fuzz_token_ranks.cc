// A hostile rank file of tiktoken or, where the input begins with "{", a tekken.json, and what its
// tokenizer makes of an awkward text: nothing but sq::Error may come of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/rank_vocabulary.h"
#include "sq/text/tekken.h"

namespace {

constexpr std::string_view kText =
    "The model doesn't  read 2048 windows;\r\n\t<s>[INST] \xe6\xbc\xa2\xe5\xad\x97 e\xcc\x81 "
    "\xf0\x9f\x98\x80"
    "\xff\x00 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab   \n\n\n   x";

sq::TokenizerParts Parse(std::string_view bytes, sq::TokenizerConfig* config) {
  if (!bytes.empty() && bytes[0] == '{') {
    return sq::ParseTekken(sq::ParseJson(bytes, "input"), "input", config);
  }
  return sq::MakeRankParts(sq::ParseRanks(bytes, "input"), sq::kByteLevelPattern, "input");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    sq::TokenizerConfig config;
    sq::TokenizerParts parts = Parse(bytes, &config);
    const auto tokenizer = sq::MakeTokenizer(std::move(parts), config, "input");
    tokenizer->Decode(tokenizer->Encode(kText), /*skip_special_tokens=*/true);
  } catch (const sq::Error& error) {
    const std::string_view message = error.what();
    if (message.find('\n') != std::string_view::npos || message.size() > 1000) std::abort();
  }
  return 0;
}
