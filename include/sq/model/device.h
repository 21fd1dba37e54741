// Where a model computes: on the host, or on a CUDA device, on which LibTorch's own operators and
// the kernels of sq/kernels/cuda_*.h work side by side.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace sq {

// Where a model computes.
struct Device {
  bool cuda = false;
  int index = 0;
  // The CUDA kernels run on the host, for tests: device memory is the host's, and LibTorch computes
  // on the CPU.
  bool emulated = false;
};

inline const Device kCpu;

// "auto", "cpu", "cuda" (the first device) or "cuda:N". auto is a CUDA device where one can run our
// kernels and LibTorch has its CUDA half, else the CPU; *why_not then says what is missing. Makes
// the device current for the calling thread, and LibTorch exact on it: fp32 products without TF32,
// fp32 sums of bfloat16 ones; from then on the kernel library gets memory back that LibTorch only
// keeps. Throws sq::Error saying what is missing.
Device ChooseDevice(const std::string& flag, std::string* why_not = nullptr);

// Whether ChooseDevice would understand `flag`; says nothing of what devices there are.
bool IsDeviceFlag(const std::string& flag);

// LibTorch's name for it: the CPU when the device is emulated.
at::Device TensorDevice(const Device& device);

// "cpu" and "cuda", for what depends on the kind of device alone; and the name that people know it
// by: "cpu", "NVIDIA H100 80GB HBM3".
std::string DeviceKind(const Device& device);
std::string DeviceName(const Device& device);

// Makes it current for the calling thread: a thread begins with device 0.
void MakeCurrent(const Device& device);

// What the device has free at present, in bytes, what LibTorch only keeps included. For the CPU,
// what the system has.
int64_t FreeBytes(const Device& device);

// Waits for all that it has been told to do. Throws sq::Error when that failed or the device is
// lost; does nothing on the CPU.
void Synchronize(const Device& device);

// Calls body(i) for each i in [0, count): on the CPU by ParallelFor; on a device one after the
// other on the calling thread, since what they queue runs in order anyway.
void DeviceFor(const Device& device, int64_t count, const std::function<void(int64_t)>& body);

// If it is LibTorch's error for a device's memory that will not do, one line that says how much was
// wanted and how much is there; else nothing.
std::string OutOfMemoryText(const std::exception& error);

// Runs `body`; where a device's memory will not do, for our kernels or for LibTorch, throws an
// sq::Error whose one line goes on with "; " and `advice`.
void WithMemoryAdvice(const std::string& advice, const std::function<void()>& body);

}  // namespace sq
