#include "sq/text/unpacked_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/placeholder.h"

namespace sq {
namespace {

constexpr size_t kBufferBytes = 1 << 17;
constexpr int kZstdWindowLog = 31;
static_assert(kBufferBytes >= kPlaceholderBytes);

constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";

// The first bytes of other formats that may contain texts.
struct Unread {
  std::string_view begin;
  const char* name;
};
using namespace std::string_view_literals;
constexpr Unread kUnread[] = {
    {"BZh91AY&SY"sv, "bzip2"},     {"\xfd\x37zXZ\0"sv, "xz"}, {"PK\3\4"sv, "zip"},
    {"\x04\x22\x4d\x18"sv, "lz4"}, {"PAR1\x15"sv, "Parquet"}, {"ARROW1\0\0"sv, "Arrow"},
};

enum class Packing { kNone, kGzip, kZstd };

bool BeginsWith(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

// A zstd file may begin with a skippable frame, 0x184d2a50 to 0x184d2a5f, as written by pzstd.
bool BeginsWithZstd(std::string_view text) {
  return BeginsWith(text, kZstdMagic) ||
         (text.size() >= 4 && (text[0] & 0xf0) == 0x50 && text.substr(1, 3) == "\x2a\x4d\x18");
}

int Open(const std::string& path) {
  // O_NONBLOCK: a pipe without a writer is rejected without blocking.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int failure = errno;
  SQ_CHECK(descriptor >= 0 || failure != ENOENT, path, ": ", WhyMissing(path));
  SQ_CHECK(descriptor >= 0, path, ": cannot be opened: ", std::strerror(failure));
  struct stat status {};
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) return descriptor;
  close(descriptor);
  throw Error(path + ": not a regular file");
}

std::string Ending(const std::string& name, size_t length) {
  std::string end = name.size() > length ? name.substr(name.size() - length) : "";
  for (char& c : end) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return end;
}

}  // namespace

struct UnpackedFile::State {
  explicit State(const std::string& file) : path(file), descriptor(Open(file)), in(kBufferBytes) {}
  ~State() {
    close(descriptor);
    if (packing == Packing::kGzip) inflateEnd(&gzip);
    ZSTD_freeDStream(zstd);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Refills the buffer if it is used up. False at the end of the file.
  bool Fill();
  void Start();
  size_t ReadPlain(char* to, size_t size);
  size_t ReadGzip(char* to, size_t size);
  size_t ReadZstd(char* to, size_t size);
  // Moves to the next member; false if there is none.
  bool NextMember();
  int64_t Place() const { return offset + static_cast<int64_t>(begin); }
  [[noreturn]] void Fail(const std::string& reason) const {
    throw Error(StrCat(path, ": at byte ", Place(), ": ", reason));
  }

  const std::string path;
  const int descriptor;
  std::vector<char> in;
  size_t begin = 0, end = 0;  // unused bytes in `in`
  int64_t offset = 0;         // of in[0] in the file
  Packing packing = Packing::kNone;
  bool inside = true;  // inside a member or frame
  z_stream gzip{};
  ZSTD_DStream* zstd = nullptr;
};

bool UnpackedFile::State::Fill() {
  if (begin < end) return true;
  offset += static_cast<int64_t>(end);
  begin = end = 0;
  ssize_t count;
  do {
    count = read(descriptor, in.data(), in.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) Fail(std::strerror(errno));
  end = static_cast<size_t>(count);
  return end > 0;
}

void UnpackedFile::State::Start() {
  const bool any = Fill();
  SQ_CHECK(any || UnpackedName(path) == path, path, ": empty, expected compressed data");
  const std::string_view first(in.data(), end);
  CheckNoPlaceholder(first, path);
  for (const Unread& unread : kUnread) {
    SQ_CHECK(!BeginsWith(first, unread.begin), path, ": ", unread.name,
             " data, which are not read; text, JSON lines, gzip and zstd are");
  }
  if (BeginsWith(first, kGzipMagic)) {
    SQ_CHECK(inflateInit2(&gzip, 16 + MAX_WBITS) == Z_OK, path,
             ": out of memory for decompression");
    packing = Packing::kGzip;
  } else if (BeginsWithZstd(first)) {
    zstd = ZSTD_createDStream();
    SQ_CHECK(zstd != nullptr, path, ": out of memory for decompression");
    // The window size of `zstd --long=31`, which large dumps are compressed with.
    ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, kZstdWindowLog);
    packing = Packing::kZstd;
  }
}

size_t UnpackedFile::State::ReadPlain(char* to, size_t size) {
  if (!Fill()) return 0;
  const size_t count = std::min(size, end - begin);
  std::memcpy(to, in.data() + begin, count);
  begin += count;
  return count;
}

bool UnpackedFile::State::NextMember() {
  while (Fill() && in[begin] == '\0') ++begin;
  if (!Fill()) return false;
  // The two bytes of the magic number may be in different buffers; inflate checks the second.
  if (in[begin] != kGzipMagic[0]) Fail("neither gzip data nor padding behind gzip data");
  inflateReset(&gzip);
  inside = true;
  return true;
}

size_t UnpackedFile::State::ReadGzip(char* to, size_t size) {
  size = std::min(size, size_t{1} << 30);  // zlib has 32-bit counters
  while (inside || NextMember()) {
    if (!Fill()) Fail("the gzip data end early");
    gzip.next_in = reinterpret_cast<Bytef*>(in.data() + begin);
    gzip.avail_in = static_cast<uInt>(end - begin);
    gzip.next_out = reinterpret_cast<Bytef*>(to);
    gzip.avail_out = static_cast<uInt>(size);
    const int result = inflate(&gzip, Z_NO_FLUSH);
    begin = end - gzip.avail_in;
    if (result != Z_OK && result != Z_STREAM_END) {
      Fail(StrCat("damaged gzip data: ", gzip.msg != nullptr ? gzip.msg : zError(result)));
    }
    inside = result != Z_STREAM_END;
    if (gzip.avail_out < size) return size - gzip.avail_out;
  }
  return 0;
}

size_t UnpackedFile::State::ReadZstd(char* to, size_t size) {
  while (true) {
    ZSTD_outBuffer out{to, size, 0};
    // At the end of the input there may still be buffered output.
    const bool more = Fill();
    if (!more && !inside) return 0;
    ZSTD_inBuffer from{in.data() + begin, end - begin, 0};
    const size_t result = ZSTD_decompressStream(zstd, &out, &from);
    if (ZSTD_isError(result)) Fail(StrCat("damaged zstd data: ", ZSTD_getErrorName(result)));
    begin += from.pos;
    inside = result != 0;
    if (out.pos > 0) return out.pos;
    if (!more && inside) Fail("the zstd data end early");
  }
}

UnpackedFile::UnpackedFile(const std::string& path) : state_(std::make_unique<State>(path)) {
  state_->Start();
}

UnpackedFile::~UnpackedFile() = default;

size_t UnpackedFile::Read(char* to, size_t size) {
  switch (state_->packing) {
    case Packing::kGzip: return state_->ReadGzip(to, size);
    case Packing::kZstd: return state_->ReadZstd(to, size);
    case Packing::kNone: break;
  }
  return state_->ReadPlain(to, size);
}

std::string UnpackedName(const std::string& name) {
  const size_t length = Ending(name, 3) == ".gz" ? 3 : Ending(name, 4) == ".zst" ? 4 : 0;
  return name.substr(0, name.size() - length);
}

}  // namespace sq
