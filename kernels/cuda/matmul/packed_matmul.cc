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

namespace {

// Values that a product needs in device memory besides its arguments.
struct ScratchSizes {
  int64_t input = 0, n_tile = 0, product = 0, partials = 0, arrived = 0;
};

struct Scratch {
  Buffer<uint16_t> input;   // x rounded to fp16
  Buffer<uint16_t> n_tile;  // an N-tile of the weight, dequantized
  Buffer<float> product;    // x times that
  Buffer<float> partials;   // of the LUT-GEMV
  Buffer<unsigned> arrived;

  ScratchSizes sizes() const {
    return {input.count(), n_tile.count(), product.count(), partials.count(), arrived.count()};
  }
  void Grow(const ScratchSizes& to, cudaStream_t stream) {
    input.Grow(to.input, "rounded activations");
    n_tile.Grow(to.n_tile, "a tile of weights");
    product.Grow(to.product, "a tile of results");
    partials.Grow(to.partials, "partial sums");
    if (arrived.count() >= to.arrived) return;
    arrived.Grow(to.arrived, "counters");
    cuda::Check(cudaMemsetAsync(arrived.data(), 0, static_cast<size_t>(arrived.bytes()), stream),
                "counters");
  }
};

ScratchSizes Larger(const ScratchSizes& a, const ScratchSizes& b) {
  return {std::max(a.input, b.input), std::max(a.n_tile, b.n_tile), std::max(a.product, b.product),
          std::max(a.partials, b.partials), std::max(a.arrived, b.arrived)};
}
bool Covers(const ScratchSizes& has, const ScratchSizes& needs) {
  return has.input >= needs.input && has.n_tile >= needs.n_tile && has.product >= needs.product &&
         has.partials >= needs.partials && has.arrived >= needs.arrived;
}

}  // namespace

struct CudaContext::State {
  cudaStream_t stream = nullptr;
  bool pdl = false;
  cuda::Gemm gemm;
  Scratch scratch;
  bool captured = false;         // graphs may hold addresses of `scratch`
  std::vector<Scratch> retired;  // outgrown; graphs may hold their addresses

  bool IsCapturing() const {
    if (stream == nullptr) return false;  // the default stream cannot be captured
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cuda::Check(cudaStreamIsCapturing(stream, &status), "the state of a stream");
    return status != cudaStreamCaptureStatusNone;
  }
};

CudaContext::CudaContext(void* stream, bool pdl) : state_(std::make_unique<State>()) {
  const cuda::DeviceInfo& device = cuda::CurrentDeviceInfo();
  cuda::CheckSharedWindow(device.shared_window);
  state_->pdl = pdl && device.pdl;
  state_->stream = static_cast<cudaStream_t>(stream);
}
CudaContext::~CudaContext() = default;
void* CudaContext::stream() const { return state_->stream; }

struct CudaLayer::State {
  int bits = 0;
  bool gated = false;  // two layers interleaved
  cuda::DeviceLayer layer;
  const LayerView& view() const { return layer.view(); }
};

CudaLayer::CudaLayer(const std::vector<PackedView>& layers, bool interleaved)
    : state_(std::make_unique<State>()) {
  state_->layer = cuda::DeviceLayer(cuda::Repack(layers, interleaved));
  state_->gated = interleaved && layers.size() == 2;
  state_->bits = layers.front().bits;
}
CudaLayer::~CudaLayer() = default;
int CudaLayer::bits() const { return state_->bits; }
int64_t CudaLayer::out_features() const { return state_->view().rows; }
int64_t CudaLayer::in_features() const { return state_->view().inputs; }
int64_t CudaLayer::DeviceBytes() const { return state_->layer.bytes(); }

namespace {

// Up to this number of tokens, reading the indices once for every 16 tokens costs less than
// dequantizing the weight.
constexpr int64_t kFewTokens = 64;
constexpr int64_t kNTileBytes = 16 << 20;  // an N-tile of the weight stays in L2
constexpr int64_t kMaxDenseTokens = 8192;  // bounds the memory for results

int64_t NTileRows(const LayerView& view) {
  const int64_t rows = kNTileBytes / (2 * static_cast<int64_t>(view.padded_inputs)) / 64 * 64;
  return std::min<int64_t>(std::max<int64_t>(rows, 64), view.rows);
}

void CheckSizes(const LayerView& view, const cuda::Prologue& input, const CudaMatrix& y,
                const cuda::Epilogue& end) {
  const CudaMatrix& x = input.x;
  const bool normed = input.norm.weight != nullptr;
  const int64_t columns = end.gated ? view.rows / 2 : view.rows;
  const int64_t x_rows = normed ? 1 : x.rows, x_cols = normed ? view.inputs : x.cols;
  SQ_CHECK(x_cols == view.inputs && y.cols == columns && x_rows == y.rows, "packed layer of [",
           view.rows, ", ", view.inputs, end.gated ? "], gated" : "]", ": x is [", x_rows, ", ",
           x_cols, "], y is [", y.rows, ", ", y.cols, "]");
  SQ_CHECK(end.add.data == nullptr || (end.add.rows == y.rows && end.add.cols == y.cols),
           "packed layer of [", view.rows, ", ", view.inputs, "]: y is [", y.rows, ", ", y.cols,
           "], what is added to it is [", end.add.rows, ", ", end.add.cols, "]");
  constexpr int64_t kAlignment = 16;  // bytes
  SQ_CHECK(
      normed || x.type != FloatType::kFloat16 ||
          (reinterpret_cast<uintptr_t>(x.data) % kAlignment == 0 && 2 * x.stride % kAlignment == 0),
      "packed layer of [", view.rows, ", ", view.inputs, "]: expected rows of x at multiples of ",
      kAlignment, " bytes, found an address of ", x.data, " and a stride of ", 2 * x.stride,
      " bytes");
}

CudaMatrix RowsOf(const CudaMatrix& matrix, int64_t first, int64_t count) {
  const int64_t size = matrix.type == FloatType::kFloat32 ? 4 : 2;
  return CudaMatrix(static_cast<unsigned char*>(matrix.data) + first * matrix.stride * size,
                    matrix.type, count, matrix.cols, matrix.stride);
}

cuda::Epilogue RowsOf(const cuda::Epilogue& end, int64_t first, int64_t count) {
  cuda::Epilogue some = end;
  if (end.add.data != nullptr) some.add = RowsOf(end.add, first, count);
  return some;
}

int64_t InputStride(int64_t inputs) { return cuda::RoundUp(inputs, 8); }

// x in fp16: as it is, or rounded.
struct Halves {
  const uint16_t* data;
  int64_t stride;
  float scale;  // that products are multiplied by
};
Halves HalvesOf(CudaContext::State& state, const CudaMatrix& x, float x_scale) {
  if (x.type == FloatType::kFloat16) {
    return {static_cast<const uint16_t*>(x.data), x.stride, x_scale};
  }
  const int64_t stride = InputStride(x.cols);
  cuda::ConvertInput(x, state.scratch.input.data(), stride, state.stream);
  return {state.scratch.input.data(), stride, x_scale / cuda::kInputScale};
}

// Reads the indices once for every GemvTokens tokens.
void ByGemv(CudaContext::State& state, const LayerView& view, const cuda::Prologue& input,
            const CudaMatrix& y, const cuda::Epilogue& end) {
  const Halves halves = input.norm.weight != nullptr ? Halves{nullptr, 0, input.scale}
                                                     : HalvesOf(state, input.x, input.scale);
  const cuda::DeviceInfo& device = cuda::CurrentDeviceInfo();
  const int64_t most = cuda::GemvTokens(view, device);
  for (int64_t first = 0; first < y.rows; first += most) {
    const int64_t count = std::min(most, y.rows - first);
    cuda::GemvArguments arguments;
    arguments.layer = view;
    arguments.x = halves.data + first * halves.stride;
    arguments.x_stride = halves.stride;
    arguments.norm = input.norm;
    arguments.tokens = static_cast<int>(count);
    arguments.x_scale = halves.scale;
    arguments.y = RowsOf(y, first, count);
    arguments.epilogue = RowsOf(end, first, count);
    arguments.partials = state.scratch.partials.data();
    arguments.arrived = state.scratch.arrived.data();
    cuda::LutGemv(arguments, device, state.pdl, state.stream);
  }
}

// Dequantizes each N-tile of the weight once for every kMaxDenseTokens tokens.
void ByDequantizing(CudaContext::State& state, const LayerView& view, const CudaMatrix& x,
                    float x_scale, const CudaMatrix& y, const cuda::Epilogue& end) {
  const Halves halves = HalvesOf(state, x, x_scale);
  const int64_t stride = view.padded_inputs, step = NTileRows(view);
  for (int64_t first = 0; first < view.rows; first += step) {
    const int64_t rows = std::min<int64_t>(step, view.rows - first);
    const CudaMatrix n_tile(state.scratch.n_tile.data(), FloatType::kFloat16, rows, view.inputs,
                            stride);
    cuda::Dequantize(view, first, n_tile, false, state.stream);
    cuda::Gemm::Operands operands;
    operands.x = halves.data;
    operands.tokens = x.rows;
    operands.x_stride = halves.stride;
    operands.w = state.scratch.n_tile.data();
    operands.rows = rows;
    operands.inputs = view.inputs;
    operands.w_stride = stride;
    operands.y = state.scratch.product.data();
    operands.y_stride = rows;
    state.gemm.Multiply(operands, state.stream);
    cuda::DenseEpilogue(state.scratch.product.data(), view, first, rows, halves.scale, y, end,
                        state.stream);
  }
}

ScratchSizes SizesFor(const LayerView& view, int64_t tokens) {
  const int64_t few = std::min(tokens, kFewTokens);
  const cuda::GemvRoom room = cuda::RoomForGemv(view, few, cuda::CurrentDeviceInfo());
  ScratchSizes sizes;
  sizes.partials = room.partials;
  sizes.arrived = room.arrived;
  sizes.input = few * InputStride(view.inputs);
  if (tokens <= kFewTokens) return sizes;
  const int64_t rows = NTileRows(view), many = std::min(tokens, kMaxDenseTokens);
  sizes.input = many * InputStride(view.inputs);
  sizes.n_tile = rows * view.padded_inputs;
  sizes.product = many * rows;
  return sizes;
}

}  // namespace

void cuda::PackedMatmul(const CudaContext& context, const CudaLayer& layer, const Prologue& input,
                        const CudaMatrix& y, const Epilogue& end) {
  const LayerView& view = layer.state().view();
  CheckSizes(view, input, y, end);
  if (y.rows == 0) return;
  ReserveCudaMatmul(context, layer, y.rows);
  if (y.rows <= kFewTokens) return ByGemv(context.state(), view, input, y, end);
  for (int64_t first = 0; first < y.rows; first += kMaxDenseTokens) {
    const int64_t count = std::min(kMaxDenseTokens, y.rows - first);
    ByDequantizing(context.state(), view, RowsOf(input.x, first, count), input.scale,
                   RowsOf(y, first, count), RowsOf(end, first, count));
  }
}

void ReserveCudaMatmul(const CudaContext& context, const CudaLayer& layer, int64_t tokens) {
  CudaContext::State& state = context.state();
  const LayerView& view = layer.state().view();
  const ScratchSizes needs = SizesFor(view, tokens);
  const bool capturing = state.IsCapturing();
  if (!Covers(state.scratch.sizes(), needs)) {
    SQ_CHECK(!capturing, "packed layer of [", view.rows, ", ", view.inputs, "]: a capture of ",
             tokens, " tokens needs memory that ReserveCudaMatmul has to allocate before it");
    ScratchSizes sizes = needs;
    if (state.captured) {
      sizes = Larger(sizes, state.scratch.sizes());
      state.retired.push_back(std::move(state.scratch));
      state.captured = false;
    }
    state.scratch.Grow(sizes, state.stream);
  }
  state.captured = state.captured || capturing;
}

void CudaPackedMatmul(const CudaContext& context, const CudaLayer& layer, const CudaMatrix& x,
                      const CudaMatrix& y, const CudaMatrix* add, float x_scale,
                      const CudaGating* gating) {
  const LayerView& view = layer.state().view();
  SQ_CHECK(gating == nullptr || (add == nullptr && layer.state().gated), "packed layer of [",
           view.rows, ", ", view.inputs, "]: a gating is of two interleaved layers, nothing added");
  cuda::Prologue input;
  input.x = x;
  input.scale = x_scale;
  cuda::Epilogue end;
  if (add != nullptr) end.add = *add;
  end.gated = gating != nullptr;
  if (gating != nullptr) end.gating = *gating;
  cuda::PackedMatmul(context, layer, input, y, end);
}

void CudaDequantize(const CudaContext& context, const CudaLayer& layer, int64_t first_row,
                    const CudaMatrix& out) {
  const LayerView& view = layer.state().view();
  SQ_CHECK(out.cols == view.inputs && first_row >= 0 && out.rows >= 0 &&
               first_row + out.rows <= view.rows,
           "packed layer of [", view.rows, ", ", view.inputs, "]: rows ", first_row, " to ",
           first_row + out.rows, " of ", out.cols, " wanted");
  SQ_CHECK(reinterpret_cast<uintptr_t>(out.data) % 16 == 0 && out.stride % 8 == 0,
           "packed layer of [", view.rows, ", ", view.inputs,
           "]: expected an output at multiples of 16 bytes, found ", out.data, " and a stride of ",
           out.stride, " elements");
  cuda::Dequantize(view, first_row, out, true, context.state().stream);
}

}  // namespace sq
