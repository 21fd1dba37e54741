#include "sq/model/device.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <charconv>
#include <regex>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/base/resource_limits.h"
#include "sq/kernels/cuda_device.h"

namespace sq {
namespace {

constexpr char kNoCudaHalf[] =
    "this build's LibTorch has no CUDA half (scripts/setup.sh BUILD_DIR --cuda fetches it)";

// Whether the program is linked with LibTorch's CUDA half, be a device there or not: only that
// registers such hooks.
bool LibTorchHasCuda() { return at::Context::hasCUDART(); }

// The index that "cuda" or "cuda:N" asks for, or -1.
int CudaIndex(const std::string& flag) {
  const std::string prefix = "cuda:";
  if (flag == "cuda") return 0;
  if (flag.compare(0, prefix.size(), prefix) != 0) return -1;
  const char *begin = flag.data() + prefix.size(), *end = flag.data() + flag.size();
  int index = -1;
  const auto [stop, error] = std::from_chars(begin, end, index);
  return error == std::errc() && stop == end && *begin != '-' ? index : -1;
}

void SetPrecision() {
  at::Context& context = at::globalContext();
  context.setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL,
                              at::Float32Precision::IEEE);
  context.setAllowBF16ReductionCuBLAS(false);
  context.setAllowFP16ReductionCuBLAS(false);
}

// Gives back the device memory that LibTorch keeps for tensors to come.
void ReleaseCached(const Device& device) {
  if (!device.cuda || device.emulated) return;
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(at::kCUDA);
  if (allocator->initialized()) allocator->emptyCache();
}

Device Use(const CudaDevice& found) {
  const Device device{true, found.index, found.emulated};
  try {
    MakeCurrent(device);
  } catch (const c10::Error& error) {  // such as a driver that is too old for LibTorch's CUDA
    const std::string text = error.what_without_backtrace();
    throw Error(
        StrCat("device cuda:", found.index, ": LibTorch: ", text.substr(0, text.find('\n'))));
  }
  SetPrecision();
  SetCudaMemoryReleaser([device] { ReleaseCached(device); });
  return device;
}

}  // namespace

bool IsDeviceFlag(const std::string& flag) {
  return flag == "auto" || flag == "cpu" || CudaIndex(flag) >= 0;
}

Device ChooseDevice(const std::string& flag, std::string* why_not) {
  SQ_CHECK(IsDeviceFlag(flag), "device: expected auto, cpu, cuda or cuda:N, found ", Quoted(flag));
  if (flag == "cpu") return {};
  std::string reason;
  const std::vector<CudaDevice> devices = CudaDevices(&reason);
  const bool usable = !devices.empty() && (devices.front().emulated || LibTorchHasCuda());
  if (flag == "auto") {
    if (!devices.empty()) reason = StrCat(devices.front().name, " is there, but ", kNoCudaHalf);
    if (usable) {
      try {
        return Use(devices.front());
      } catch (const Error& error) {
        reason = error.what();
      }
    }
    if (why_not != nullptr) *why_not = reason;
    return {};
  }
  if (devices.empty()) {
    throw Error(StrCat("device ", flag, ": ", reason, LibTorchHasCuda() ? "" : "; ",
                       LibTorchHasCuda() ? "" : kNoCudaHalf));
  }
  SQ_CHECK(usable, "device ", flag, ": ", kNoCudaHalf);
  if (flag == "cuda") return Use(devices.front());
  return Use(UseCudaDevice(CudaIndex(flag)));
}

at::Device TensorDevice(const Device& device) {
  if (!device.cuda || device.emulated) return at::Device(at::kCPU);
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.index));
}

std::string DeviceKind(const Device& device) { return device.cuda ? "cuda" : "cpu"; }

std::string DeviceName(const Device& device) {
  return device.cuda ? UseCudaDevice(device.index).name : "cpu";
}

void MakeCurrent(const Device& device) {
  if (!device.cuda) return;
  UseCudaDevice(device.index);
  // LibTorch has a CUDA runtime of its own, with its own idea of the current device.
  if (!device.emulated) {
    c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(TensorDevice(device));
  }
}

int64_t FreeBytes(const Device& device) {
  ReleaseCached(device);
  return device.cuda ? UseCudaDevice(device.index).free_bytes : AvailableBytes();
}

void Synchronize(const Device& device) {
  if (device.cuda) SynchronizeCudaDevice();
}

void DeviceFor(const Device& device, int64_t count, const std::function<void(int64_t)>& body) {
  if (!device.cuda) return ParallelFor(count, body);
  for (int64_t i = 0; i < count; ++i) body(i);
}

std::string OutOfMemoryText(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) == nullptr) return "";
  const std::string message = error.what();
  // "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of
  // which 1.88 GiB is free. ..."
  std::smatch found;
  std::string text = "CUDA: out of memory";
  if (std::regex_search(message, found, std::regex("Tried to allocate ([0-9.]+ [KMG]?i?B)"))) {
    text += ": wanted " + found[1].str();
  }
  if (std::regex_search(message, found,
                        std::regex("total capacity of ([0-9.]+ [KMG]?i?B) of which "
                                   "([0-9.]+ [KMG]?i?B) is free"))) {
    text += ", " + found[2].str() + " of " + found[1].str() + " are free";
  }
  return text;
}

void WithMemoryAdvice(const std::string& advice, const std::function<void()>& body) {
  try {
    body();
  } catch (const OutOfMemory& error) {
    throw Error(StrCat(error.what(), "; ", advice));
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(StrCat(OutOfMemoryText(error), "; ", advice));
  }
}

}  // namespace sq
