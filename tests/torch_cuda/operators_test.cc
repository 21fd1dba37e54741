// LibTorch's CUDA half as the tools link it: it is registered, and has a kernel for every operator
// that the layers above call on a device. Needs neither GPU nor driver.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <gtest/gtest.h>

namespace sq {
namespace {

struct Operator {
  const char *name, *overload;
};

// Of the forward pass, the losses, the Fisher pass and their gradients.
constexpr Operator kOperators[] = {
    {"mm", ""},
    {"mm", "dtype"},
    {"linear", ""},
    {"addmm", ""},
    {"native_layer_norm", ""},
    {"native_layer_norm_backward", ""},
    {"silu", ""},
    {"silu_backward", ""},
    {"relu", ""},
    {"threshold_backward", ""},
    {"gelu", ""},
    {"gelu_backward", ""},
    {"cat", ""},
    {"stack", ""},
    {"square", ""},
    {"pow", "Tensor_Scalar"},
    {"mean", "dim"},
    {"rsqrt", ""},
    {"neg", ""},
    {"mul", "Tensor"},
    {"add", "Tensor"},
    {"sub", "Tensor"},
    {"div", "Scalar"},
    {"addcmul_", ""},
    {"arange", "start"},
    {"le", "Tensor"},
    {"gt", "Tensor"},
    {"logical_and", ""},
    {"scaled_dot_product_attention", ""},
    {"_scaled_dot_product_efficient_attention", ""},
    {"_scaled_dot_product_flash_attention", ""},
    {"_scaled_dot_product_attention_math", ""},
    {"_softmax", ""},
    {"_softmax_backward_data", ""},
    {"bmm", ""},
    {"_log_softmax", ""},
    {"_log_softmax_backward_data", ""},
    {"nll_loss_forward", ""},
    {"nll_loss_backward", ""},
    {"cross_entropy_loss", ""},
    {"sum", ""},
    {"sum", "dim_IntList"},
    {"index_select", ""},
    {"empty", "memory_format"},
    {"zeros_like", ""},
    {"clone", ""},
    {"copy_", ""},
    {"record_stream", ""},
    {"_to_copy", ""},
    {"_local_scalar_dense", ""},
    {"slice_backward", ""},
};

TEST(CudaHalfOfLibTorch, IsRegistered) {
  EXPECT_TRUE(at::Context::hasCUDART());
  EXPECT_NE(c10::getDeviceAllocator(at::kCUDA), nullptr);
}

TEST(CudaHalfOfLibTorch, HasEveryOperatorThatIsCalled) {
  for (const Operator& op : kOperators) {
    const auto found =
        c10::Dispatcher::singleton().findSchema({std::string("aten::") + op.name, op.overload});
    ASSERT_TRUE(found.has_value()) << op.name << "." << op.overload;
    EXPECT_TRUE(found->hasComputedKernelForDispatchKey(c10::DispatchKey::CUDA))
        << op.name << "." << op.overload;
  }
}

// The check above can fail: what LibTorch has for the CPU alone.
TEST(CudaHalfOfLibTorch, LacksWhatIsForTheCpuAlone) {
  const auto found = c10::Dispatcher::singleton().findSchema({"aten::_mkldnn_transpose", ""});
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->hasComputedKernelForDispatchKey(c10::DispatchKey::CUDA));
}

}  // namespace
}  // namespace sq
