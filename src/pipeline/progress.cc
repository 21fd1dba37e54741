#include "sq/pipeline/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "sq/base/log.h"
#include "sq/base/process.h"

namespace sq {
namespace {

constexpr int kBarWidth = 30;
constexpr double kSecondsBetweenLines = 30;

std::string Format(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

}  // namespace

std::string BytesText(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  return Format(unit == 0 || value >= 100 ? "%.0f " : "%.1f ", value) + units[unit];
}

std::string SecondsText(double seconds) {
  if (seconds < 10) return Format("%.1f s", seconds);
  const int64_t whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + " s";
  char buffer[64];
  if (whole < 3600) {
    std::snprintf(buffer, sizeof buffer, "%d min %02d s", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(buffer, sizeof buffer, "%d h %02d min", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60));
  }
  return buffer;
}

Progress::Progress(std::string what, std::string unit, int64_t steps)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      steps_(steps),
      terminal_(isatty(STDERR_FILENO) != 0),
      begin_(Clock::now()),
      last_line_(begin_) {}

Progress::~Progress() {
  if (terminal_ && LogsInfo()) std::fputs("\r\033[K", stderr);
}

void Progress::Update(int64_t done) {
  if (!LogsInfo()) return;
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  std::string state =
      what_ + ": " + unit_ + " " + std::to_string(done) + "/" + std::to_string(steps_) + ", ";
  if (done > 0) {
    const double steps_left = static_cast<double>(std::max<int64_t>(steps_ - done, 0));
    state += SecondsText(seconds * steps_left / static_cast<double>(done)) + " left, ";
  }
  state += BytesText(ResidentBytes());
  if (terminal_) {
    const int filled = done >= steps_ ? kBarWidth : static_cast<int>(done * kBarWidth / steps_);
    const std::string bar = std::string(filled, '#') + std::string(kBarWidth - filled, '.');
    std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), state.c_str());
    std::fflush(stderr);
  } else if (std::chrono::duration<double>(now - last_line_).count() >= kSecondsBetweenLines) {
    last_line_ = now;
    LogInfo(state);
  }
}

}  // namespace sq
