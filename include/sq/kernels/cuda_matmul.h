// y = W x on a CUDA device, for a packed layer and any number of tokens: what packed_matmul.h is on
// the CPU. No CUDA header is needed to include this one; all pointers called device memory are.
//
// Numbers: the lookup table is rounded to fp16 with a power-of-two scale a row. x is taken as it is
// when it is fp16 (x_scale is for callers who store it scaled, so that it fits), else it is rounded
// to fp16 with a scale of 2^-6, so that activations up to 4e6 fit. Products are exact, sums fp32 in
// an order that depends on the sizes, the device and the number of tokens alone: runs repeat bit
// for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sq/base/float_type.h"
#include "sq/base/layer_parts.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A row-major matrix in device memory that somebody else owns. Rows begin at multiples of 16 bytes.
struct CudaMatrix {
  void* data = nullptr;
  FloatType type = FloatType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  CudaMatrix() = default;
  CudaMatrix(void* data, FloatType type, int64_t rows, int64_t cols)
      : CudaMatrix(data, type, rows, cols, cols) {}
  CudaMatrix(void* data, FloatType type, int64_t rows, int64_t cols, int64_t stride)
      : data(data), type(type), rows(rows), cols(cols), stride(stride) {}
};

// A stream (a cudaStream_t; null: the default one) and the memory that kernels on it need besides
// their arguments. Not for use from two threads at once. That memory grows when a larger call
// comes, except while the stream is captured into a graph: such a call throws sq::Error, so call
// ReserveCudaMatmul before the capture. Graphs hold addresses of the memory; the context keeps what
// it outgrows after a capture until it is destroyed, so graphs stay valid as long as the context
// and the layers live.
class CudaContext {
 public:
  // On the current device. The stream is the caller's and must outlive the context. With `pdl`
  // (programmatic dependent launch; ignored before compute capability 9.0) a product may start
  // while the previous kernel on the stream still runs, and loads its weights meanwhile. It waits
  // before it touches memory that others write, so this is safe after and before any kernel; it
  // pays where kernels are short. Throws sq::Error where shared memory does not begin where the
  // kernels expect it, after compilation by a driver that lays it out differently.
  explicit CudaContext(void* stream, bool pdl = false);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  struct State;
  State& state() const { return *state_; }
  void* stream() const;

 private:
  std::unique_ptr<State> state_;
};

// Layers of one bit width and one number of inputs, such as query, key and value, in device memory
// in the kernels' own order: one matrix, rows one below the other. Takes about as many bytes as in
// a file.
class CudaLayer {
 public:
  // Copies to the current device. The layers must be valid (ValidatePackedLayer), and have all a
  // bias or none, and up to 65536 inputs. Throws sq::Error when they do not fit together or the
  // device is out of memory. When it returns, every stream may use them.
  // interleaved: of layers of one size, row r of layer i becomes row r * layers + i.
  explicit CudaLayer(const std::vector<PackedView>& layers, bool interleaved = false);
  ~CudaLayer();
  CudaLayer(const CudaLayer&) = delete;
  CudaLayer& operator=(const CudaLayer&) = delete;

  int bits() const;
  int64_t out_features() const;
  int64_t in_features() const;
  int64_t DeviceBytes() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// What a gated MLP does with its gate and up projections, of one interleaved layer of both, gate
// first: y[t][o] = function(gate[t][o]) * up[t][o] * scale.
struct CudaGating {
  Activation function = Activation::kSilu;
  float scale = 1;
};

// y[t][o] = sum over i of weight[o][i] * x[t][i] * x_scale + bias[o], outliers included; with
// `add`, + add[t][o], which may be y itself; with `gating`, which excludes that, what CudaGating
// says of the layer's two. x: [tokens][in], y and add: [tokens][out], of gating [tokens][out / 2],
// device memory. Returns when the work is queued on the context's stream. Throws sq::Error on sizes
// that do not agree.
//
// Up to 64 tokens the LUT-GEMV with the sparse part inside, in passes of 16, or of 8 where the
// device has little shared memory; beyond, N-tiles of the weight are dequantized to fp16 and
// multiplied by cuBLASLt.
void CudaPackedMatmul(const CudaContext& context, const CudaLayer& layer, const CudaMatrix& x,
                      const CudaMatrix& y, const CudaMatrix* add = nullptr, float x_scale = 1,
                      const CudaGating* gating = nullptr);

// Makes room for CudaPackedMatmul of up to `tokens` tokens, so that it can be captured into a
// graph.
void ReserveCudaMatmul(const CudaContext& context, const CudaLayer& layer, int64_t tokens);

// Writes rows [first_row, first_row + out.rows) of the weight, outliers added and rounded to out's
// type: out [rows][in].
void CudaDequantize(const CudaContext& context, const CudaLayer& layer, int64_t first_row,
                    const CudaMatrix& out);

}  // namespace sq
