#include "sq/base/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>

#include "sq/base/error.h"

namespace sq {
namespace {

volatile std::sig_atomic_t interrupts = 0;

void OnSignal(int) {
  if (interrupts != 0) _exit(130);
  interrupts = 1;
  constexpr char kMessage[] =
      "\nstopping at the next safe point; interrupt again to stop immediately\n";
  // A failed write is ignored.
  if (write(STDERR_FILENO, kMessage, sizeof kMessage - 1) < 0) return;
}

// The value of a "Key:  value kB" line of a file, in bytes.
int64_t KilobytesLine(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word != key) {
      file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      continue;
    }
    int64_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

std::string Version() { return SQ_VERSION " (" SQ_COMMIT ")"; }

int64_t ResidentBytes() { return KilobytesLine("/proc/self/status", "VmRSS:"); }

int64_t PeakResidentBytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void TakeFileSizeErrors() { std::signal(SIGXFSZ, SIG_IGN); }

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool InterruptRequested() { return interrupts != 0; }

void StopIfInterrupted() {
  if (InterruptRequested()) throw Interrupted();
}

}  // namespace sq
