// The process: version, memory use, interruption by signals.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

std::string Version();  // "0.1.0 (1a2b3c4d5e6f)": version and commit

int64_t ResidentBytes();      // current resident set size
int64_t PeakResidentBytes();  // its maximum so far

// Makes a write beyond the file size limit (ulimit -f) fail like any other write instead of
// terminating the process.
void TakeFileSizeErrors();

// Makes the first SIGINT or SIGTERM set a flag; a second one terminates the process with code 130.
void CatchInterrupts();
bool InterruptRequested();
// Throws Interrupted if a signal has arrived. Call at points where all finished work is saved.
void StopIfInterrupted();

}  // namespace sq
