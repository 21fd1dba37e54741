// Progress of long work on stderr: a bar that redraws itself on a terminal, a plain line now and
// then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace sq {

class Progress {
 public:
  // `what` names the work, `unit` its steps ("layer"). Draws nothing when the log is quiet.
  Progress(std::string what, std::string unit, int64_t steps);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` steps are finished.
  void Update(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_, unit_;
  int64_t steps_;
  bool terminal_;
  Clock::time_point begin_, last_line_;
};

// "1.4 GiB", "35 s", "2 min 05 s".
std::string BytesText(int64_t bytes);
std::string SecondsText(double seconds);

}  // namespace sq
