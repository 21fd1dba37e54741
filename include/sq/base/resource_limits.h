// Memory and processors available to this process, within the limits of containers and of the
// process.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// Bytes that the process can still allocate without swapping or being killed: the minimum of the
// system's available memory, what is left under RLIMIT_AS and RLIMIT_DATA, and what is left under
// the memory limits of its control groups (cgroup version 1 and 2, including parent groups), where
// reclaimable page cache counts as free. Never negative. Reads a few files of /proc and /sys.
int64_t AvailableBytes();

// Number of processors that the process may use: those in its affinity mask, or the CPU quota of
// its control groups, rounded up, if that is lower. At least 1.
int AvailableProcessors();

// The limits of control groups alone, for tests. `root` replaces the root folder, where
// proc/self/{cgroup,mountinfo} and the files that they name are looked up. Without a limit: the
// maximum int64_t, and 0 processors.
int64_t ControlGroupBytes(const std::string& root);
int ControlGroupProcessors(const std::string& root);

}  // namespace sq
