// What this process is, uses and is asked to do: version, memory, interruption.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

std::string Version();  // "0.1.0 (1a2b3c4d5e6f)": version and commit

int64_t ResidentBytes();      // resident memory now
int64_t PeakResidentBytes();  // the most so far

// From now on a write beyond the limit on a file's size (ulimit -f) fails, with a reason that is
// told like any other, and does not end the process.
void TakeFileSizeErrors();

// From now on the first SIGINT or SIGTERM is only noted; a second one ends the process with 130.
void CatchInterrupts();
bool InterruptRequested();
// Throws Interrupted when one has been noted. To be called where all state is kept.
void StopIfInterrupted();

}  // namespace sq
