// The CUDA half of the kernel library in a build without CUDA: there is no device.
#include "sq/base/error.h"
#include "sq/kernels/cuda_csr.h"
#include "sq/kernels/cuda_device.h"
#include "sq/kernels/cuda_matmul.h"

namespace sq {
namespace {

constexpr char kReason[] = "built without CUDA (configure with -DSQ_CUDA=ON)";

[[noreturn]] void Fail() { throw Error(kReason); }

}  // namespace

std::vector<CudaDevice> CudaDevices(std::string* reason) {
  *reason = kReason;
  return {};
}
CudaDevice UseCudaDevice(int index) { throw Error(StrCat("device cuda:", index, ": ", kReason)); }
void SynchronizeCudaDevice() { Fail(); }

struct CudaContext::State {};
CudaContext::CudaContext(void*) { Fail(); }
CudaContext::~CudaContext() = default;
void* CudaContext::stream() const { Fail(); }

struct CudaLayer::State {};
CudaLayer::CudaLayer(const std::vector<PackedView>&) { Fail(); }
CudaLayer::~CudaLayer() = default;
int CudaLayer::bits() const { Fail(); }
int64_t CudaLayer::out_features() const { Fail(); }
int64_t CudaLayer::in_features() const { Fail(); }
int64_t CudaLayer::DeviceBytes() const { Fail(); }

void CudaPackedMatmul(const CudaContext&, const CudaLayer&, const CudaMatrix&, const CudaMatrix&,
                      const CudaMatrix*, float) {
  Fail();
}
void ReserveCudaMatmul(const CudaContext&, const CudaLayer&, int64_t) { Fail(); }
void CudaDequantize(const CudaContext&, const CudaLayer&, int64_t, const CudaMatrix&) { Fail(); }

struct CudaCsr::State {};
CudaCsr::CudaCsr(const CsrView&, int64_t, int64_t) { Fail(); }
CudaCsr::~CudaCsr() = default;
void CudaCsrMatmul(const CudaContext&, const CudaCsr&, const CudaMatrix&, const CudaMatrix&) {
  Fail();
}

}  // namespace sq
