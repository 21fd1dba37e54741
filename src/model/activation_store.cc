#include "sq/model/activation_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/process.h"

namespace sq {
namespace {

constexpr char kWhat[] = "activations";

// An unnamed file of `bytes`, all of them reserved: a disk too small is an error here, not a signal
// later.
int UnnamedFile(const std::string& folder, int64_t bytes) {
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  const int error = descriptor < 0 ? errno : posix_fallocate(descriptor, 0, bytes);
  if (error != 0 && descriptor >= 0) close(descriptor);
  SQ_CHECK(error == 0, folder, ": cannot keep ", bytes,
           " bytes of activations: ", std::strerror(error));
  return descriptor;
}

}  // namespace

ActivationMemory MemoryWithin(int64_t max_memory, const Device& device,
                              const std::string& spill_folder) {
  ActivationMemory memory;
  memory.max_bytes = max_memory > 0 && !device.cuda ? max_memory : AvailableBytes() / 2;
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
  const int descriptor = spill ? UnnamedFile(memory.spill_folder, bytes_) : -1;
  void* mapped = mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ | PROT_WRITE,
                      spill ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, descriptor, 0);
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  SQ_CHECK(mapped != MAP_FAILED, "out of memory: ", bytes_,
           " bytes of activations: ", std::strerror(error),
           "; fewer samples or --max-memory would need less");
  data_ = static_cast<float*>(mapped);
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
