// The CUDA half of the kernel library in a build without CUDA: there is no device.
#include "sq/base/error.h"
#include "sq/kernels/cuda_csr.h"
#include "sq/kernels/cuda_decoder.h"
#include "sq/kernels/cuda_device.h"
#include "sq/kernels/cuda_kmeans.h"
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
CudaMemory CudaMemoryInUse() { return {}; }
void SetCudaMemoryReleaser(std::function<void()>) {}
double CudaReadBandwidth() { Fail(); }
void SynchronizeCudaDevice() { Fail(); }

struct CudaContext::State {};
CudaContext::CudaContext(void*, bool) { Fail(); }
CudaContext::~CudaContext() = default;
void* CudaContext::stream() const { Fail(); }

struct CudaLayer::State {};
CudaLayer::CudaLayer(const std::vector<PackedView>&, bool) { Fail(); }
CudaLayer::~CudaLayer() = default;
int CudaLayer::bits() const { Fail(); }
int64_t CudaLayer::out_features() const { Fail(); }
int64_t CudaLayer::in_features() const { Fail(); }
int64_t CudaLayer::DeviceBytes() const { Fail(); }

void CudaPackedMatmul(const CudaContext&, const CudaLayer&, const CudaMatrix&, const CudaMatrix&,
                      const CudaMatrix*, float, const CudaGating*) {
  Fail();
}
void ReserveCudaMatmul(const CudaContext&, const CudaLayer&, int64_t) { Fail(); }
void CudaDequantize(const CudaContext&, const CudaLayer&, int64_t, const CudaMatrix&) { Fail(); }

struct CudaKmeans::State {};
CudaKmeans::CudaKmeans(int64_t) { Fail(); }
CudaKmeans::~CudaKmeans() = default;
void CudaKmeans::Cluster(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                         MatrixView<uint8_t>) {
  Fail();
}
void CudaKmeans::Cluster(int64_t, int64_t, int64_t, const FillRows&, const TakeRows&) { Fail(); }
RowClusterer CudaRowClusterer() { Fail(); }

struct CudaCsr::State {};
CudaCsr::CudaCsr(const CsrView&, int64_t, int64_t) { Fail(); }
CudaCsr::~CudaCsr() = default;
void CudaCsrMatmul(const CudaContext&, const CudaCsr&, const CudaMatrix&, const CudaMatrix&) {
  Fail();
}

struct CudaModel::State {};
CudaModel::CudaModel(const DecoderShape&) { Fail(); }
CudaModel::~CudaModel() = default;
void CudaModel::AddLayer(const DecoderLayerWeights&) { Fail(); }
void CudaModel::SetEmbeddingAndHead(const EmbeddingAndHead&) { Fail(); }
const DecoderShape& CudaModel::shape() const { Fail(); }
int64_t CudaModel::DeviceBytes() const { Fail(); }
int64_t CudaModel::StepBytes() const { Fail(); }

struct CudaDecoder::State {};
CudaDecoder::CudaDecoder(std::shared_ptr<const CudaModel>, int64_t, int64_t, const RotaryRows&,
                         bool) {
  Fail();
}
CudaDecoder::~CudaDecoder() = default;
void CudaDecoder::SetRotary(int64_t, int64_t, const RotaryRows&) { Fail(); }
void CudaDecoder::Step(const std::vector<std::vector<int32_t>>&, float*) { Fail(); }
std::vector<int32_t> CudaDecoder::Best() const { Fail(); }
void CudaDecoder::StepBest() { Fail(); }
void CudaDecoder::Reset() { Fail(); }
int64_t CudaDecoder::length() const { Fail(); }

}  // namespace sq
