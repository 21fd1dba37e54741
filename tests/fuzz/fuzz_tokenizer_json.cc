// A hostile tokenizer.json, and what its tokenizer makes of an awkward text: nothing but sq::Error
// may come of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/tokenizer_parts.h"

namespace {

constexpr std::string_view kText =
    "The model doesn't  read 2048 windows;\r\n\t<s>a <b>b \xe6\xbc\xa2\xe5\xad\x97 e\xcc\x81 "
    "\xf0\x9f\x98\x80"
    "\xff\x00 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab   \n\n\n   x";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const nlohmann::json file = sq::ParseJson(bytes, "input");
    const auto tokenizer = sq::MakeTokenizer(sq::ParseTokenizerJson(file, "input"), {}, "input");
    tokenizer->Decode(tokenizer->Encode(kText), /*skip_special_tokens=*/true);
  } catch (const sq::Error& error) {
    const std::string_view message = error.what();
    if (message.find('\n') != std::string_view::npos || message.size() > 1000) std::abort();
  }
  return 0;
}
