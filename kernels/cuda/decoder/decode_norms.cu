// Norms of whole rows; and RoPE, norms of heads and the append to the KV cache before attention.
#include "kernels/cuda/decoder/rope_head.cuh"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {
namespace {

constexpr int kNormThreads = 1024;  // at most
constexpr int kHeld = 4;            // vectors of 4 that a thread keeps in registers
static_assert(4 * kHeld * kNormThreads >= kMaxNormSize);
constexpr int kHeadsAtOnce = 4;  // warps of a block

template <bool layer_norm>
__global__ void __launch_bounds__(kNormThreads)
    NormKernel(const float* x, int64_t x_stride, int32_t vectors, const float* weight,
               const float* bias, float epsilon, CudaMatrix out) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  LetNextStart();
  // A thread's vectors; beyond the row's the last one, so that all loads come one after the other.
  const auto at = [&](int i) { return i * threads + thread; };
  const auto load = [&](const float* from, float4(&to)[kHeld]) {
    for (int i = 0; i < kHeld; ++i)
      to[i] = reinterpret_cast<const float4*>(from)[min(at(i), vectors - 1)];
  };
  float4 weights[kHeld], held[kHeld];
  load(weight, weights);  // while the kernel before this one ends
  WaitForPrevious();
  const int64_t row = blockIdx.x;
  load(x + row * x_stride, held);
  const float count = 4.0f * static_cast<float>(vectors);
  float mean = 0;
  for (int i = 0; i < kHeld; ++i) {
    if (at(i) < vectors) mean += (held[i].x + held[i].y) + (held[i].z + held[i].w);
  }
  mean = layer_norm ? BlockSum(mean) / count : 0;
  float squares = 0;
  for (int i = 0; i < kHeld; ++i) {
    if (at(i) >= vectors) continue;
    float4& v = held[i];
    v = make_float4(v.x - mean, v.y - mean, v.z - mean, v.w - mean);
    squares += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
  }
  const float scale = rsqrtf(BlockSum(squares) / count + epsilon);
  for (int i = 0; i < kHeld; ++i) {
    if (at(i) >= vectors) continue;
    const float4 v = held[i], w = weights[i];
    float4 y =
        make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
    if (layer_norm) {
      const float4 b = reinterpret_cast<const float4*>(bias)[at(i)];
      y = make_float4(y.x + b.x, y.y + b.y, y.z + b.z, y.w + b.w);
    }
    StoreVector(out, row, 4 * static_cast<int64_t>(at(i)), y);
  }
}

// A warp a head.
__global__ void RopeAndAppendKernel(RopeArguments a, Cache cache) {
  LetNextStart();
  const int heads = static_cast<int>(a.heads), kv_heads = static_cast<int>(cache.kv_heads);
  const int head = static_cast<int>(blockIdx.x) * kHeadsAtOnce + WarpOfBlock();
  if (head >= heads + 2 * kv_heads) return;
  // What the kernel before this one does not write: on its way while that one ends.
  const int64_t position = __ldcg(a.length) + static_cast<int>(blockIdx.y);
  HeadRope rope;
  rope.LoadAhead(a, cache, head, position);
  WaitForPrevious();
  const int64_t sequence = blockIdx.z, row = sequence * a.tokens + blockIdx.y;
  float* const x = static_cast<float*>(a.qkv.data) + row * a.qkv.stride +
                   static_cast<int64_t>(head) * cache.head_dim;
  if (head < heads) {
    rope.Apply(a, cache, x,
               [&](int dim, float2 two) { *reinterpret_cast<float2*>(x + dim) = two; });
  } else {
    uint16_t* const cached = CacheRow(cache, sequence, head - heads, position);
    rope.Apply(a, cache, x, [&](int dim, float2 two) {
      *reinterpret_cast<uint32_t*>(cached + dim) = PackHalves(two.x, two.y);
    });
  }
}

}  // namespace

void Normalize(const Queue& queue, const CudaMatrix& x, const float* weight, const float* bias,
               float epsilon, const CudaMatrix& out) {
  SQ_DCHECK(x.type == FloatType::kFloat32 && x.cols % 4 == 0 && x.cols <= kMaxNormSize);
  const int64_t vectors = x.cols / 4;
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(x.rows));
  // Few threads, for which there is room beside the kernel before this one.
  shape.block = dim3(static_cast<unsigned>(RoundUp(CeilDivide(vectors, kHeld), kLanes)));
  shape.pdl = queue.pdl;
  Launch("norm", shape, queue.stream, bias != nullptr ? NormKernel<true> : NormKernel<false>,
         static_cast<const float*>(x.data), x.stride, vectors, weight, bias, epsilon, out);
}

void RopeAndAppend(const Queue& queue, const RopeArguments& arguments, const Cache& cache) {
  SQ_DCHECK(cache.head_dim % 8 == 0 && cache.head_dim <= kMaxHeadDim);
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(arguments.heads + 2 * cache.kv_heads, kHeadsAtOnce)),
           static_cast<unsigned>(arguments.tokens),
           static_cast<unsigned>(arguments.qkv.rows / arguments.tokens));
  shape.block = dim3(kHeadsAtOnce * kLanes);
  shape.pdl = queue.pdl;
  Launch("RoPE and KV-cache append", shape, queue.stream, RopeAndAppendKernel, arguments, cache);
}

}  // namespace sq::cuda
