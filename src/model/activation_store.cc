#include "sq/model/activation_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/base/resource_limits.h"

namespace sq {
namespace {

constexpr char kWhat[] = "activations";

// A file without a name. Where the file system knows none (NFS, FUSE, some overlays) one that is
// made and removed at once: it lasts as long as it is open. -1, and errno, when there can be none.
int OpenUnnamed(const std::string& folder) {
  const int unnamed = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (unnamed >= 0 || errno == ENOENT || errno == EACCES) return unnamed;
  const std::string name = TemporaryName(folder + "/activations");
  const int named = open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (named >= 0) unlink(name.c_str());
  return named;
}

// `bytes` of memory backed by a file in `folder`, all of them reserved: a disk too small is an
// error here, not a signal later. Null, and errno, when that cannot be.
void* MapFile(const std::string& folder, int64_t bytes) {
  const int descriptor = OpenUnnamed(folder);
  int error = descriptor < 0 ? errno : posix_fallocate(descriptor, 0, bytes);
  void* mapped = MAP_FAILED;
  if (error == 0) {
    mapped = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                  descriptor, 0);
    error = errno;
  }
  if (descriptor >= 0) close(descriptor);
  errno = error;
  return mapped == MAP_FAILED ? nullptr : mapped;
}

// In the first of the folders where it can be; the error is about the first. That a disk which the
// user has chosen (`wanted`, unless empty) is full is for the user to know.
void* MapSpillFile(const std::string& wanted, int64_t bytes) {
  std::vector<std::string> folders;
  if (!wanted.empty()) folders.push_back(wanted);
  const char* from_environment = std::getenv("TMPDIR");
  if (from_environment != nullptr && *from_environment != '\0')
    folders.emplace_back(from_environment);
  folders.emplace_back("/var/tmp");  // on a disk, as a rule; /tmp may be memory
  folders.emplace_back("/tmp");
  std::string first_reason;
  for (const std::string& folder : folders) {
    if (void* mapped = MapFile(folder, bytes)) return mapped;
    const int error = errno;
    if (first_reason.empty()) {
      first_reason =
          StrCat(folder, ": cannot keep ", bytes, " bytes of activations: ", std::strerror(error));
    }
    if (folder == wanted && (error == ENOSPC || error == EDQUOT)) break;
  }
  throw Error(StrCat(first_reason, "; fewer samples or --max-memory would need less there"));
}

void* MapMemory(int64_t bytes) {
  void* mapped = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SQ_CHECK(mapped != MAP_FAILED, "out of memory: ", bytes,
           " bytes of activations: ", std::strerror(errno),
           "; fewer samples or --max-memory would need less");
  return mapped;
}

}  // namespace

ActivationMemory MemoryWithin(int64_t max_memory, const Device& device,
                              const std::string& spill_folder) {
  ActivationMemory memory;
  memory.max_bytes = max_memory > 0 && !device.cuda
                         ? max_memory
                         : std::max<int64_t>(AvailableBytes() / 2, 1);  // 0 would be no bound
  memory.max_device_bytes = max_memory;
  memory.spill_folder = spill_folder;
  return memory;
}

ActivationStore::ActivationStore(int64_t slots, int64_t tokens, int64_t hidden,
                                 const ActivationMemory& memory, const Device& device)
    : tokens_(tokens), hidden_(hidden) {
  bytes_ = CheckedMultiply(CheckedMultiply(slots, tokens, kWhat), hidden * 4, kWhat);
  if (device.cuda) {
    const int64_t room = FreeBytes(device) / 2;
    const int64_t most =
        memory.max_device_bytes > 0 ? std::min(memory.max_device_bytes, room) : room;
    if (bytes_ <= most) {
      const auto options = at::TensorOptions().dtype(at::kFloat).device(TensorDevice(device));
      for (int64_t slot = 0; slot < slots; ++slot) {
        on_device_.push_back(at::empty({tokens, hidden}, options));
      }
      return;
    }
  }
  const bool spill = memory.max_bytes > 0 && bytes_ > memory.max_bytes;
  data_ =
      static_cast<float*>(spill ? MapSpillFile(memory.spill_folder, bytes_) : MapMemory(bytes_));
}

ActivationStore::~ActivationStore() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
}

at::Tensor ActivationStore::Slot(int64_t slot) const {
  if (!on_device_.empty()) return on_device_[static_cast<size_t>(slot)];
  return at::from_blob(data_ + slot * tokens_ * hidden_, {tokens_, hidden_}, at::kFloat);
}

void ActivationStore::Drop(int64_t slot) {
  if (!on_device_.empty()) {
    on_device_[static_cast<size_t>(slot)] = at::Tensor();
    return;
  }
  const int64_t page = sysconf(_SC_PAGESIZE), size = tokens_ * hidden_ * 4;
  const int64_t begin = (slot * size + page - 1) / page * page;
  const int64_t end = (slot + 1) * size / page * page;
  if (begin >= end) return;
  // MADV_REMOVE frees a file's blocks too, MADV_DONTNEED serves private memory.
  char* at = reinterpret_cast<char*>(data_) + begin;
  if (madvise(at, static_cast<size_t>(end - begin), MADV_REMOVE) != 0) {
    madvise(at, static_cast<size_t>(end - begin), MADV_DONTNEED);
  }
}

std::string ActivationStore::MemoryAdvice() const {
  if (on_device_.empty()) return "a shorter --sequence-length would need less";
  return StrCat("activations hold ", bytes_,
                " bytes of it: with a smaller --max-memory they stay in the host's memory");
}

}  // namespace sq
