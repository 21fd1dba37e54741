// Norms of whole rows, and what happens to queries and keys before attention: norms of heads,
// rotation, the way into the cache.
#include <algorithm>

#include "kernels/cuda/decode_kernels.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {
namespace {

constexpr int kNormThreads = 1024;  // at most
constexpr int kHeld = 4;            // vectors of 4 that a thread keeps in registers
static_assert(4 * kHeld * kNormThreads >= kMostNormSize);
constexpr int kHeadsAtOnce = 4;  // warps of a block
constexpr int kMostPairs = kMostHeadDim / 2 / kLanes;

template <bool layer_norm>
__global__ void __launch_bounds__(kNormThreads)
    NormKernel(const float* x, int64_t x_stride, int32_t vectors, const float* weight,
               const float* bias, float epsilon, CudaMatrix out) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  float4 weights[kHeld];  // on their way while the kernel before this one ends
  for (int i = 0; i < kHeld; ++i) {
    const int at = i * threads + thread;
    if (at < vectors) weights[i] = reinterpret_cast<const float4*>(weight)[at];
  }
  WaitForPrevious();
  LetNextStart();
  const int64_t row = blockIdx.x;
  const auto* in = reinterpret_cast<const float4*>(x + row * x_stride);
  const float count = 4.0f * static_cast<float>(vectors);
  float4 held[kHeld];
  float mean = 0;
  for (int i = 0; i < kHeld; ++i) {
    const int at = i * threads + thread;
    held[i] = at < vectors ? in[at] : make_float4(0, 0, 0, 0);
    mean += (held[i].x + held[i].y) + (held[i].z + held[i].w);
  }
  mean = layer_norm ? BlockSum(mean) / count : 0;
  float squares = 0;
  for (int i = 0; i < kHeld; ++i) {
    if (i * threads + thread >= vectors) continue;
    float4& v = held[i];
    v = make_float4(v.x - mean, v.y - mean, v.z - mean, v.w - mean);
    squares += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
  }
  const float scale = rsqrtf(BlockSum(squares) / count + epsilon);
  for (int i = 0; i < kHeld; ++i) {
    const int at = i * threads + thread;
    if (at >= vectors) continue;
    const float4 v = held[i], w = weights[i];
    float4 y =
        make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
    if (layer_norm) {
      const float4 b = reinterpret_cast<const float4*>(bias)[at];
      y = make_float4(y.x + b.x, y.y + b.y, y.z + b.z, y.w + b.w);
    }
    StoreVector(out, row, 4 * static_cast<int64_t>(at), y);
  }
}

// A warp a head; lane l holds dims l, l + 32, .. of the first half and of the second.
__global__ void PlaceKernel(PositionArguments a, Cache cache) {
  WaitForPrevious();
  LetNextStart();
  const int64_t kv_heads = cache.kv_heads, all = a.heads + 2 * kv_heads;
  const int64_t head = static_cast<int64_t>(blockIdx.x) * kHeadsAtOnce + threadIdx.x / kLanes;
  if (head >= all) return;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int half = static_cast<int>(cache.head_dim / 2);
  const int64_t row = blockIdx.y, position = *a.length + row % a.tokens;
  float* x = static_cast<float*>(a.qkv.data) + row * a.qkv.stride + head * cache.head_dim;
  const bool is_query = head < a.heads, is_key = !is_query && head < a.heads + kv_heads;
  float first[kMostPairs], second[kMostPairs];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    const int at = i * kLanes + lane;
    first[i] = at < half ? x[at] : 0;
    second[i] = at < half ? x[half + at] : 0;
    squares += first[i] * first[i] + second[i] * second[i];
  }
  const float* norm = is_query ? a.query_norm : is_key ? a.key_norm : nullptr;
  const float scale =
      norm == nullptr ? 1.0f
                      : rsqrtf(LanesSum(squares) / static_cast<float>(cache.head_dim) + a.epsilon);
  const bool rotated = a.cos != nullptr && (is_query || is_key);
  // Of its kv head in the cache: unused for a query.
  const int64_t kv_head = is_key ? head - a.heads : head - a.heads - kv_heads;
  const int64_t sequence = row / a.tokens;
  uint16_t* const place =
      (is_key ? cache.keys : cache.values) +
      ((sequence * kv_heads + (is_query ? 0 : kv_head)) * cache.capacity + position) *
          cache.head_dim;
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    const int at = i * kLanes + lane;
    if (at >= half) continue;
    float u = first[i] * scale, v = second[i] * scale;
    if (norm != nullptr) {
      u *= norm[at];
      v *= norm[half + at];
    }
    if (rotated) {
      const float c = a.cos[position * half + at], s = a.sin[position * half + at];
      const float turned = u * c - v * s;
      v = v * c + u * s;
      u = turned;
    }
    if (is_query) {
      x[at] = u;
      x[half + at] = v;
    } else {
      place[at] = __half_as_ushort(__float2half_rn(u));
      place[half + at] = __half_as_ushort(__float2half_rn(v));
    }
  }
}

}  // namespace

void Normalize(const Queue& queue, const CudaMatrix& x, const float* weight, const float* bias,
               float epsilon, const CudaMatrix& out) {
  SQ_DCHECK(x.type == CudaType::kFloat32 && x.cols % 4 == 0 && x.cols <= kMostNormSize);
  const int64_t vectors = x.cols / 4;
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(x.rows));
  shape.block =
      dim3(static_cast<unsigned>(std::min<int64_t>(RoundUp(vectors, kLanes), kNormThreads)));
  shape.overlap = queue.overlap;
  Launch("norm", shape, queue.stream, bias != nullptr ? NormKernel<true> : NormKernel<false>,
         static_cast<const float*>(x.data), x.stride, vectors, weight, bias, epsilon, out);
}

void PlaceTokens(const Queue& queue, const PositionArguments& arguments, const Cache& cache) {
  SQ_DCHECK(cache.head_dim % 8 == 0 && cache.head_dim <= kMostHeadDim);
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(arguments.heads + 2 * cache.kv_heads, kHeadsAtOnce)),
           static_cast<unsigned>(arguments.qkv.rows));
  shape.block = dim3(kHeadsAtOnce * kLanes);
  shape.overlap = queue.overlap;
  Launch("place tokens", shape, queue.stream, PlaceKernel, arguments, cache);
}

}  // namespace sq::cuda
