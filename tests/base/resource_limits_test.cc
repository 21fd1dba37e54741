#include "sq/base/resource_limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "sq/base/output_file.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

// The files of /proc and /sys as the kernel shows them in a few places.
class ControlGroups : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& contents) const {
    MakeFolder(std::filesystem::path(root_ + path).parent_path());
    WriteFile(root_ + path, contents);
  }
  void Self(const std::string& cgroup, const std::string& mountinfo) const {
    Put("/proc/self/cgroup", cgroup);
    Put("/proc/self/mountinfo", "23 1 8:1 / / rw,relatime - ext4 /dev/vda rw\n" + mountinfo);
  }
  int64_t Bytes() const { return ControlGroupBytes(root_); }
  int Processors() const { return ControlGroupProcessors(root_); }

  const std::string root_ = test::ScratchFolder();
};

TEST_F(ControlGroups, NoneIsNoLimit) {
  EXPECT_EQ(Bytes(), kNone);
  EXPECT_EQ(Processors(), 0);
  Self("0::/\n", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_EQ(Bytes(), kNone);
}

// A service of systemd with MemoryMax and CPUQuota on its slice.
TEST_F(ControlGroups, Version2LimitsOfGroupsAboveCount) {
  Self("0::/user.slice/user-1000.slice/app.service\n",
       "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
  const std::string slice = "/sys/fs/cgroup/user.slice/user-1000.slice";
  Put(slice + "/app.service/memory.max", "max\n");
  Put(slice + "/app.service/memory.current", "1000\n");
  EXPECT_EQ(Bytes(), kNone);
  Put(slice + "/memory.max", "8000000\n");
  Put(slice + "/memory.current", "5000000\n");
  EXPECT_EQ(Bytes(), 3000000);
  Put(slice + "/memory.stat",
      "anon 1000000\nfile 4000000\nactive_file 500000\ninactive_file 1500000\n");
  EXPECT_EQ(Bytes(), 5000000);  // pages of files can be dropped
  Put(slice + "/app.service/memory.max", "4000\n");
  EXPECT_EQ(Bytes(), 3000);
  Put(slice + "/app.service/memory.max", "500\n");
  EXPECT_EQ(Bytes(), 0);
  Put(slice + "/cpu.max", "max 100000\n");
  EXPECT_EQ(Processors(), 0);
  Put(slice + "/cpu.max", "250000 100000\n");
  EXPECT_EQ(Processors(), 3);
  Put(slice + "/app.service/cpu.max", "100000 100000\n");
  EXPECT_EQ(Processors(), 1);
}

// docker run -m, version 1: the container has its group as the root of the mount.
TEST_F(ControlGroups, Version1InAContainer) {
  Self("5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/\n",
       "36 35 0:32 /docker/1f /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
       "37 35 0:33 /docker/1f /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
  Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "2000\n");
  EXPECT_GT(Bytes(), int64_t{1} << 60);
  Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n");
  Put("/sys/fs/cgroup/memory/memory.stat",
      "inactive_file 7\ntotal_inactive_file 500\ntotal_active_file 100\n");
  EXPECT_EQ(Bytes(), 8600);
  Put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  Put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Processors(), 0);
  Put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(Processors(), 2);
}

TEST_F(ControlGroups, Version1OnTheHost) {
  Self("4:memory:/a/b\n", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  Put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "700\n");
  Put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "100\n");
  Put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "900\n");
  Put("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "100\n");
  EXPECT_EQ(Bytes(), 600);
}

TEST_F(ControlGroups, FilesOfRubbishAreNoLimit) {
  Self("x\n::\n5:memory\n0::/a\n", "- - -\n31 - cgroup2\n1 2 3 / /g rw - cgroup2 none rw\n");
  Put("/g/a/memory.max", "many\n");
  Put("/g/a/memory.current", "\n");
  Put("/g/a/cpu.max", "\n");
  EXPECT_EQ(Bytes(), kNone);
  EXPECT_EQ(Processors(), 0);
}

TEST(ResourceLimits, ThisMachineHasSomeOfBoth) {
  EXPECT_GT(AvailableBytes(), 1 << 20);
  EXPECT_GE(AvailableProcessors(), 1);
}

TEST(ResourceLimits, LimitsOfTheProcessCount) {
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    const pid_t child = fork();
    if (child == 0) {
      struct rlimit limit {};
      limit.rlim_cur = limit.rlim_max = rlim_t{1} << 30;
      const bool fits = setrlimit(resource, &limit) == 0 && AvailableBytes() < (int64_t{1} << 30);
      std::_Exit(fits ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << resource;
  }
}

}  // namespace
}  // namespace sq
