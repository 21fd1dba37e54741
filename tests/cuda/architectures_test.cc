#include "kernels/cuda/architectures.h"

#include <gtest/gtest.h>

#include "kernels/cuda/tuning.h"

namespace sq::cuda {
namespace {

// The NVIDIA CUDA programming guide, "Binary compatibility" and "PTX compatibility".
TEST(Architectures, MachineCodeServesLaterMinorVersions) {
  EXPECT_EQ(WhatItLacks({8, 0}, "80-real"), "");
  EXPECT_EQ(WhatItLacks({8, 9}, "80-real"), "");
  EXPECT_EQ(WhatItLacks({8, 0}, "86-real"),
            "has compute capability 8.0; this build has kernels for 8.6");
  EXPECT_EQ(WhatItLacks({9, 0}, "80-real 86-real"),
            "has compute capability 9.0; this build has kernels for 8.0, 8.6");
  EXPECT_EQ(WhatItLacks({11, 0}, "90a-real 100-real"),
            "has compute capability 11.0; this build has kernels for 9.0, 10.0");
}

TEST(Architectures, PtxServesAllLaterOnes) {
  EXPECT_EQ(WhatItLacks({12, 1}, "80-real 90"), "");
  EXPECT_EQ(WhatItLacks({8, 9}, "80-virtual"), "");
  EXPECT_EQ(WhatItLacks({9, 0}, "80 90-real"), "");
  EXPECT_EQ(WhatItLacks({8, 6}, "80-real 120"), "");
  EXPECT_EQ(WhatItLacks({11, 0}, "100-real 120"),
            "has compute capability 11.0; this build has kernels for 10.0, 12.0 and later");
}

// From 9.0 on kernels wait for one another, and shared memory begins elsewhere.
TEST(Architectures, PtxOfBefore90DoesNotServeFrom90On) {
  EXPECT_EQ(WhatItLacks({9, 0}, "80"),
            "has compute capability 9.0; this build has kernels for 8.0 and later below 9.0");
}

TEST(Architectures, NoneBefore8) {
  EXPECT_EQ(WhatItLacks({7, 5}, "70 75-real 80"),
            "has compute capability 7.5; the kernels need 8.0");
}

// Each has the row of its own generation or the one before it; what is older or newer than all, an
// end.
TEST(Architectures, HaveATuning) {
  EXPECT_EQ(TuningFor({8, 0}).architecture, 80);
  EXPECT_EQ(TuningFor({8, 6}).architecture, 86);
  EXPECT_EQ(TuningFor({8, 9}).architecture, 86);
  EXPECT_EQ(TuningFor({9, 0}).architecture, 90);
  EXPECT_EQ(TuningFor({10, 3}).architecture, 100);
  EXPECT_EQ(TuningFor({12, 1}).architecture, 120);
  EXPECT_EQ(TuningFor({7, 5}).architecture, 80);
}

}  // namespace
}  // namespace sq::cuda
