// Sets LibTorch up as the tools do, in every test program that links it.
#include <gtest/gtest.h>

#include "sq/model/runtime.h"

namespace {

class LibTorchEnvironment : public ::testing::Environment {
 public:
  void SetUp() override { sq::SetUpLibTorch(); }
};

const ::testing::Environment* const environment =
    ::testing::AddGlobalTestEnvironment(new LibTorchEnvironment);

}  // namespace
