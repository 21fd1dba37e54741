#include "sq/base/resource_limits.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <sstream>
#include <vector>

namespace sq {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// The first number in a file; empty if there is none, as in "max".
std::optional<int64_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

// The number after `key` in a file of "key number" lines; 0 if missing.
int64_t NumberAfter(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line, word;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    int64_t number = 0;
    if (words >> word >> number && word == key) return number;
  }
  return 0;
}

// The folders of this process's control group and of its parents, for one controller.
struct Hierarchy {
  bool version_2 = false;
  std::vector<std::string> folders;
};

struct Mount {
  std::string root, at, type, options;
};

// Lines such as "36 35 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory".
std::vector<Mount> ReadMounts(const std::string& path) {
  std::vector<Mount> mounts;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash)), after(line.substr(dash + 3));
    std::string skipped, source;
    Mount mount;
    before >> skipped >> skipped >> skipped >> mount.root >> mount.at;
    after >> mount.type >> source >> mount.options;
    mounts.push_back(mount);
  }
  return mounts;
}

bool HasItem(const std::string& list, const std::string& item) {
  return ("," + list + ",").find("," + item + ",") != std::string::npos;
}

// Lines of proc/self/cgroup: "4:cpu,cpuacct:/docker/1f", and "0::/user.slice" of version 2.
std::vector<Hierarchy> Hierarchies(const std::string& root, const std::string& controller) {
  const std::vector<Mount> mounts = ReadMounts(root + "/proc/self/mountinfo");
  std::vector<Hierarchy> hierarchies;
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    Hierarchy hierarchy;
    hierarchy.version_2 = controllers.empty();
    if (!hierarchy.version_2 && !HasItem(controllers, controller)) continue;
    const auto mount = std::find_if(mounts.begin(), mounts.end(), [&](const Mount& candidate) {
      return hierarchy.version_2
                 ? candidate.type == "cgroup2"
                 : candidate.type == "cgroup" && HasItem(candidate.options, controller);
    });
    if (mount == mounts.end()) continue;
    // Inside a container, the mount's root is the container's own group, named by its path on the
    // host or by "/".
    if (mount->root != "/") {
      if (group.compare(0, mount->root.size(), mount->root) == 0) {
        group.erase(0, mount->root.size());
      } else {
        group.clear();
      }
    }
    const std::string top = root + mount->at;
    while (!group.empty() && group != "/") {
      hierarchy.folders.push_back(top + group);
      group.erase(group.rfind('/'));
    }
    hierarchy.folders.push_back(top);
    hierarchies.push_back(hierarchy);
  }
  return hierarchies;
}

int64_t FreeInGroup(const std::string& folder, bool version_2) {
  const std::string limit = folder + (version_2 ? "/memory.max" : "/memory.limit_in_bytes");
  const std::string usage = folder + (version_2 ? "/memory.current" : "/memory.usage_in_bytes");
  const std::optional<int64_t> most = NumberIn(limit), used = NumberIn(usage);
  if (!most || !used) return kNoLimit;
  const std::string prefix = version_2 ? "" : "total_", statistics = folder + "/memory.stat";
  const int64_t cached = NumberAfter(statistics, prefix + "inactive_file") +
                         NumberAfter(statistics, prefix + "active_file");
  return std::max<int64_t>(*most - std::max<int64_t>(*used - cached, 0), 0);
}

// CPU quota of a group in processors, rounded up; 0 if there is none.
int QuotaOfGroup(const std::string& folder, bool version_2) {
  double quota = 0, period = 0;
  if (version_2) {
    std::ifstream file(folder + "/cpu.max");  // "max 100000" without a quota
    if (!(file >> quota >> period)) return 0;
  } else {
    quota = static_cast<double>(NumberIn(folder + "/cpu.cfs_quota_us").value_or(-1));
    period = static_cast<double>(NumberIn(folder + "/cpu.cfs_period_us").value_or(0));
  }
  if (quota <= 0 || period <= 0 || quota / period > 1e6) return 0;
  const int whole = static_cast<int>(quota / period);
  return whole + (static_cast<double>(whole) * period < quota ? 1 : 0);
}

// What remains of a process limit when `used` bytes are in use.
int64_t FreeWithin(int resource, int64_t used) {
  struct rlimit limit {};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return kNoLimit;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > static_cast<rlim_t>(kNoLimit)) {
    return kNoLimit;
  }
  return std::max<int64_t>(static_cast<int64_t>(limit.rlim_cur) - used, 0);
}

}  // namespace

int64_t ControlGroupBytes(const std::string& root) {
  int64_t bytes = kNoLimit;
  for (const Hierarchy& hierarchy : Hierarchies(root, "memory")) {
    for (const std::string& folder : hierarchy.folders) {
      bytes = std::min(bytes, FreeInGroup(folder, hierarchy.version_2));
    }
  }
  return bytes;
}

int ControlGroupProcessors(const std::string& root) {
  int processors = 0;
  for (const Hierarchy& hierarchy : Hierarchies(root, "cpu")) {
    for (const std::string& folder : hierarchy.folders) {
      const int quota = QuotaOfGroup(folder, hierarchy.version_2);
      if (quota > 0 && (processors == 0 || quota < processors)) processors = quota;
    }
  }
  return processors;
}

int64_t AvailableBytes() {
  const auto kilobytes = [](const char* path, const char* key) {
    return NumberAfter(path, key) * 1024;
  };
  const int64_t system = kilobytes("/proc/meminfo", "MemAvailable:");
  return std::min({system, ControlGroupBytes(""),
                   FreeWithin(RLIMIT_AS, kilobytes("/proc/self/status", "VmSize:")),
                   FreeWithin(RLIMIT_DATA, kilobytes("/proc/self/status", "VmData:"))});
}

int AvailableProcessors() {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  const int quota = ControlGroupProcessors("");
  if (quota > 0) count = std::min(count, quota);
  return std::max(count, 1);
}

}  // namespace sq
