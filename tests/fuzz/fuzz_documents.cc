// A hostile data set, packed or not and in any encoding, as JSON, as CSV and as token ids: nothing
// but sq::Error may come of it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sq/base/error.h"
#include "sq/text/csv.h"
#include "sq/text/json_documents.h"
#include "sq/text/text_file.h"
#include "sq/text/token_lists.h"
#include "sq/text/utf8.h"

namespace {

constexpr int64_t kMaxTextBytes = 1 << 20;

// A file in memory with these bytes, by a path that opens it.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("documents", 0)) {
    if (descriptor_ < 0 || write(descriptor_, data, size) != static_cast<ssize_t>(size)) {
      std::abort();
    }
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string Path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  const int descriptor_;
};

template <typename Body>
void ErrorsAlone(const Body& body) {
  try {
    body();
  } catch (const sq::Error& error) {
    const std::string_view message = error.what();
    if (message.find('\n') != std::string_view::npos || message.size() > 1000) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  const std::string path = file.Path();
  bool is_text = false;
  ErrorsAlone([&] {
    if (!sq::IsValidUtf8(sq::ReadText(path, kMaxTextBytes))) std::abort();
    is_text = true;
  });
  if (!is_text) return 0;  // nor anything below, or too long for it
  ErrorsAlone([&] {
    for (const std::string& text : sq::ReadJsonDocuments(path, "text").texts) {
      if (!sq::IsValidUtf8(text)) std::abort();
    }
  });
  ErrorsAlone([&] { sq::ReadTokenLists(path); });
  ErrorsAlone([&] { sq::ReadCsv(path); });
  return 0;
}
