// A hostile .pt file, archive or stream: nothing but sq::Error may come of it, and every tensor can
// be read.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sq/base/error.h"
#include "sq/checkpoint/torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // One file in memory, written anew for each input.
  static const int file = memfd_create("input", 0);
  if (file < 0 || ftruncate(file, 0) != 0 ||
      pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
    std::abort();
  }
  try {
    const sq::TorchFile opened = sq::OpenTorchFile("/proc/self/fd/" + std::to_string(file));
    for (const sq::FileTensor& tensor : opened.tensors) {
      const uint8_t* bytes = tensor.data();
      uint8_t sum = 0;
      for (int64_t i = 0; i < tensor.bytes; ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
      volatile uint8_t read = sum;  // so that the bytes are looked at
      (void)read;
    }
  } catch (const sq::Error&) {
  }
  return 0;
}
