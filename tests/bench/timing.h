// Timing on the CPU: one warm-up call, then repeated calls, each timed by itself.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <vector>

#include "sq/base/error.h"

namespace sq::bench {

// Wall-clock seconds of one call. On a shared machine `least` is what tells two versions apart;
// `median` and `most` show how noisy the run was.
struct Timing {
  double least = 0, median = 0, most = 0;
};

// Calls `call` repeats + 1 times, repeats > 0; the first call (allocation, page faults) is not
// counted.
inline Timing Time(int repeats, const std::function<void()>& call) {
  SQ_CHECK(repeats > 0, "repeats: expected a positive number, found ", repeats);
  std::vector<double> seconds;
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (repeat > 0) seconds.push_back(spent.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2], seconds.back()};
}

// The main function of a benchmark whose only argument is the number of repeats (default 5).
inline int Main(int argc, char** argv, const char* name, void (*run)(int repeats)) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 5;
  if (argc > 2 || repeats <= 0) {
    std::fprintf(stderr, "usage: %s [REPEATS]\n", name);
    return 2;
  }
  try {
    run(repeats);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace sq::bench
