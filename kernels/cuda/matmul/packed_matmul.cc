// cuda_matmul.h: checks, memory, and which kernels run.
#include <algorithm>

#include "kernels/cuda/matmul/device_layer.h"
#include "kernels/cuda/matmul/kernels.h"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/runtime.h"
#include "sq/kernels/cuda_matmul.h"

namespace sq {

using cuda::Buffer;
using cuda::LayerView;

struct CudaContext::State {
  cudaStream_t stream = nullptr;
  bool overlap = false;
  cuda::Gemm gemm;
  Buffer<uint16_t> input;  // rounded x
  Buffer<uint16_t> panel;  // rows of the weight
  Buffer<float> product;
  Buffer<float> partials;  // of the LUT-GEMV
  Buffer<unsigned> arrived;
};

CudaContext::CudaContext(void* stream, bool overlap) : state_(std::make_unique<State>()) {
  constexpr int kHasOverlap = 90;
  state_->overlap = overlap && cuda::CurrentDeviceInfo().capability >= kHasOverlap;
  state_->stream = static_cast<cudaStream_t>(stream);
}
CudaContext::~CudaContext() = default;
void* CudaContext::stream() const { return state_->stream; }

struct CudaLayer::State {
  int bits = 0;
  cuda::DeviceLayer layer;
  const LayerView& view() const { return layer.view(); }
};

CudaLayer::CudaLayer(const std::vector<PackedView>& layers) : state_(std::make_unique<State>()) {
  state_->layer = cuda::DeviceLayer(cuda::Repack(layers));
  state_->bits = layers.front().bits;
}
CudaLayer::~CudaLayer() = default;
int CudaLayer::bits() const { return state_->bits; }
int64_t CudaLayer::out_features() const { return state_->view().rows; }
int64_t CudaLayer::in_features() const { return state_->view().inputs; }
int64_t CudaLayer::DeviceBytes() const { return state_->layer.bytes(); }

namespace {

// Up to so many tokens reading the codes again for every 16 costs less than dequantizing them.
constexpr int64_t kFewTokens = 64;
constexpr int64_t kPanelBytes = 16 << 20;  // stays in the second-level cache

int64_t PanelRows(const LayerView& view) {
  const int64_t rows = kPanelBytes / (2 * static_cast<int64_t>(view.padded_inputs)) / 64 * 64;
  return std::min<int64_t>(std::max<int64_t>(rows, 64), view.rows);
}

void CheckSizes(const LayerView& view, const CudaMatrix& x, const CudaMatrix& y,
                const CudaMatrix* add) {
  SQ_CHECK(x.cols == view.inputs && y.cols == view.rows && x.rows == y.rows, "packed layer of [",
           view.rows, ", ", view.inputs, "]: x is [", x.rows, ", ", x.cols, "], y is [", y.rows,
           ", ", y.cols, "]");
  SQ_CHECK(add == nullptr || (add->rows == y.rows && add->cols == y.cols), "packed layer of [",
           view.rows, ", ", view.inputs, "]: y is [", y.rows, ", ", y.cols,
           "], what is added to it is another size");
  constexpr int64_t kAlignment = 16;  // bytes
  SQ_CHECK(x.type != CudaType::kFloat16 || (reinterpret_cast<uintptr_t>(x.data) % kAlignment == 0 &&
                                            2 * x.stride % kAlignment == 0),
           "packed layer of [", view.rows, ", ", view.inputs, "]: x does not lie at multiples of ",
           kAlignment, " bytes");
}

// The codes are read once for every 16 tokens.
void ByGemv(CudaContext::State& state, const LayerView& view, const CudaMatrix& x, float x_scale,
            const CudaMatrix& y, const CudaMatrix* add) {
  const auto rows = [](const CudaMatrix& matrix, int64_t first, int64_t count) {
    const int64_t size = matrix.type == CudaType::kFloat32 ? 4 : 2;
    return CudaMatrix(static_cast<unsigned char*>(matrix.data) + first * matrix.stride * size,
                      matrix.type, count, matrix.cols, matrix.stride);
  };
  const bool convert = x.type != CudaType::kFloat16;
  const int64_t stride = convert ? cuda::RoundUp(x.cols, 8) : x.stride;
  if (convert) cuda::ConvertInput(x, state.input.data(), stride, state.stream);
  const uint16_t* const halves =
      convert ? state.input.data() : static_cast<const uint16_t*>(x.data);
  for (int64_t first = 0; first < x.rows; first += cuda::kGemvTokens) {
    const int64_t count = std::min(cuda::kGemvTokens, x.rows - first);
    cuda::GemvArguments arguments;
    arguments.layer = view;
    arguments.x = halves + first * stride;
    arguments.x_stride = stride;
    arguments.tokens = static_cast<int>(count);
    arguments.x_scale = convert ? x_scale / cuda::kInputScale : x_scale;
    arguments.y = rows(y, first, count);
    if (add != nullptr) arguments.add = rows(*add, first, count);
    arguments.partials = state.partials.data();
    arguments.arrived = state.arrived.data();
    cuda::LutGemv(arguments, cuda::CurrentDeviceInfo(), state.overlap, state.stream);
  }
}

void ByPanels(CudaContext::State& state, const LayerView& view, const CudaMatrix& x, float x_scale,
              const CudaMatrix& y, const CudaMatrix* add) {
  const int64_t stride = view.padded_inputs;
  cuda::ConvertInput(x, state.input.data(), stride, state.stream);
  const int64_t step = PanelRows(view);
  for (int64_t first = 0; first < view.rows; first += step) {
    const int64_t rows = std::min<int64_t>(step, view.rows - first);
    const CudaMatrix panel(state.panel.data(), CudaType::kFloat16, rows, view.inputs, stride);
    cuda::Dequantize(view, first, panel, false, state.stream);
    cuda::Gemm::Operands operands;
    operands.x = state.input.data();
    operands.tokens = x.rows;
    operands.x_stride = stride;
    operands.w = state.panel.data();
    operands.rows = rows;
    operands.inputs = view.inputs;
    operands.w_stride = stride;
    operands.y = state.product.data();
    operands.y_stride = rows;
    state.gemm.Multiply(operands, state.stream);
    cuda::FinishPanel(state.product.data(), view, first, rows, x_scale / cuda::kInputScale, y, add,
                      state.stream);
  }
}

}  // namespace

void ReserveCudaMatmul(const CudaContext& context, const CudaLayer& layer, int64_t tokens) {
  CudaContext::State& state = context.state();
  const LayerView& view = layer.state().view();
  const int64_t few = std::min(tokens, kFewTokens);
  state.input.Grow(few * cuda::RoundUp(view.inputs, 8), "rounded activations");
  const cuda::GemvRoom room = cuda::RoomForGemv(view, few, cuda::CurrentDeviceInfo());
  state.partials.Grow(room.partials, "partial sums");
  if (state.arrived.count() < room.arrived) {
    state.arrived.Grow(room.arrived, "counters");
    cuda::Check(cudaMemsetAsync(state.arrived.data(), 0, static_cast<size_t>(state.arrived.bytes()),
                                state.stream),
                "counters");
  }
  if (tokens <= kFewTokens) return;
  const int64_t rows = PanelRows(view);
  state.input.Grow(tokens * view.padded_inputs, "rounded activations");
  state.panel.Grow(rows * view.padded_inputs, "a panel of weights");
  state.product.Grow(tokens * rows, "a panel of results");
}

void CudaPackedMatmul(const CudaContext& context, const CudaLayer& layer, const CudaMatrix& x,
                      const CudaMatrix& y, const CudaMatrix* add, float x_scale) {
  const LayerView& view = layer.state().view();
  CheckSizes(view, x, y, add);
  if (x.rows == 0) return;
  ReserveCudaMatmul(context, layer, x.rows);
  if (x.rows <= kFewTokens) {
    ByGemv(context.state(), view, x, x_scale, y, add);
  } else {
    ByPanels(context.state(), view, x, x_scale, y, add);
  }
}

void CudaDequantize(const CudaContext& context, const CudaLayer& layer, int64_t first_row,
                    const CudaMatrix& out) {
  const LayerView& view = layer.state().view();
  SQ_CHECK(out.cols == view.inputs && first_row >= 0 && out.rows >= 0 &&
               first_row + out.rows <= view.rows,
           "packed layer of [", view.rows, ", ", view.inputs, "]: rows ", first_row, " to ",
           first_row + out.rows, " of ", out.cols, " wanted");
  cuda::Dequantize(view, first_row, out, true, context.state().stream);
}

}  // namespace sq
