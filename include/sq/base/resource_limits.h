// What this process may use of the machine: all of it, or what a container or a limit leaves.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// Bytes that the process could still take without swapping and without being killed: the least of
// what the system has available, what the memory limits of its control groups (cgroup version 1 and
// 2, those above its own too) leave, pages of files that can be dropped counted as free, and what
// RLIMIT_AS and RLIMIT_DATA leave. Never negative. Reads a few files of /proc and /sys.
int64_t AvailableBytes();

// Processors that the process may run on: those of its affinity mask, or as many as the CPU quotas
// of its control groups come to, rounded up, if that is less. At least 1.
int AvailableProcessors();

// The limits of control groups alone, for tests: `root` stands for the root of the file system that
// holds proc/self/{cgroup,mountinfo} and what that names. Without a limit the greatest int64_t, and
// 0 processors.
int64_t ControlGroupBytes(const std::string& root);
int ControlGroupProcessors(const std::string& root);

}  // namespace sq
