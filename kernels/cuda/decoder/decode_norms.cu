// Norms of whole rows, and what happens to queries and keys before attention: norms of heads,
// rotation, the way into the cache.
#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {
namespace {

constexpr int kNormThreads = 1024;  // at most
constexpr int kHeld = 4;            // vectors of 4 that a thread keeps in registers
static_assert(4 * kHeld * kNormThreads >= kMostNormSize);
constexpr int kHeadsAtOnce = 4;                        // warps of a block
constexpr int kMostPairs = kMostHeadDim / 4 / kLanes;  // of dims, in either half of a head

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

// A warp a head; lane l holds dims 2l, 2l + 1, 2l + 64, .. of the first half and of the second.
__global__ void PlaceKernel(PositionArguments a, Cache cache) {
  LetNextStart();
  const int heads = static_cast<int>(a.heads), kv_heads = static_cast<int>(cache.kv_heads);
  const int head = static_cast<int>(blockIdx.x * kHeadsAtOnce + threadIdx.x / kLanes);
  if (head >= heads + 2 * kv_heads) return;
  const bool is_query = head < heads, is_key = !is_query && head < heads + kv_heads;
  const int half = static_cast<int>(cache.head_dim / 2);
  const auto dim = [](int i) { return 2 * (i * kLanes + static_cast<int>(threadIdx.x) % kLanes); };
  const auto two = [](const float* from) { return *reinterpret_cast<const float2*>(from); };

  // What the kernel before this one does not write: on its way while that one ends.
  const int64_t position = __ldcg(a.length) + static_cast<int>(blockIdx.y);
  const float* norm = is_query ? a.query_norm : is_key ? a.key_norm : nullptr;
  const bool rotated = a.cos != nullptr && (is_query || is_key);
  float2 cos[kMostPairs], sin[kMostPairs], first_norm[kMostPairs], second_norm[kMostPairs];
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    cos[i] = first_norm[i] = second_norm[i] = {1, 1};
    sin[i] = {0, 0};
    if (dim(i) >= half) continue;
    if (rotated) {
      cos[i] = two(a.cos + position * half + dim(i));
      sin[i] = two(a.sin + position * half + dim(i));
    }
    if (norm != nullptr) {
      first_norm[i] = two(norm + dim(i));
      second_norm[i] = two(norm + half + dim(i));
    }
  }
  WaitForPrevious();
  const int64_t sequence = blockIdx.z, row = sequence * a.tokens + blockIdx.y;
  float* x = static_cast<float*>(a.qkv.data) + row * a.qkv.stride +
             static_cast<int64_t>(head) * cache.head_dim;
  float2 first[kMostPairs], second[kMostPairs];
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    first[i] = second[i] = {0, 0};
    if (dim(i) >= half) continue;
    first[i] = two(x + dim(i));
    second[i] = two(x + half + dim(i));
  }
  float scale = 1;
  if (norm != nullptr) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kMostPairs; ++i) {
      squares += first[i].x * first[i].x + first[i].y * first[i].y + second[i].x * second[i].x +
                 second[i].y * second[i].y;
    }
    scale = rsqrtf(LanesSum(squares) / static_cast<float>(cache.head_dim) + a.epsilon);
  }
  const int kv_head = is_key ? head - heads : head - heads - kv_heads;  // no query's
  uint16_t* const place =
      is_query ? nullptr
               : (is_key ? cache.keys : cache.values) +
                     ((sequence * kv_heads + kv_head) * cache.capacity + position) * cache.head_dim;
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    if (dim(i) >= half) continue;
    const float2 u = {first[i].x * scale * first_norm[i].x, first[i].y * scale * first_norm[i].y};
    const float2 v = {second[i].x * scale * second_norm[i].x,
                      second[i].y * scale * second_norm[i].y};
    const float2 low = {u.x * cos[i].x - v.x * sin[i].x, u.y * cos[i].y - v.y * sin[i].y};
    const float2 high = {v.x * cos[i].x + u.x * sin[i].x, v.y * cos[i].y + u.y * sin[i].y};
    if (is_query) {
      *reinterpret_cast<float2*>(x + dim(i)) = low;
      *reinterpret_cast<float2*>(x + half + dim(i)) = high;
    } else {
      *reinterpret_cast<uint32_t*>(place + dim(i)) = PackHalves(low.x, low.y);
      *reinterpret_cast<uint32_t*>(place + half + dim(i)) = PackHalves(high.x, high.y);
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
  // Few threads, for which there is room beside the kernel before this one.
  shape.block = dim3(static_cast<unsigned>(RoundUp(CeilDivide(vectors, kHeld), kLanes)));
  shape.overlap = queue.overlap;
  Launch("norm", shape, queue.stream, bias != nullptr ? NormKernel<true> : NormKernel<false>,
         static_cast<const float*>(x.data), x.stride, vectors, weight, bias, epsilon, out);
}

void PlaceTokens(const Queue& queue, const PositionArguments& arguments, const Cache& cache) {
  SQ_DCHECK(cache.head_dim % 8 == 0 && cache.head_dim <= kMostHeadDim);
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(arguments.heads + 2 * cache.kv_heads, kHeadsAtOnce)),
           static_cast<unsigned>(arguments.tokens),
           static_cast<unsigned>(arguments.qkv.rows / arguments.tokens));
  shape.block = dim3(kHeadsAtOnce * kLanes);
  shape.overlap = queue.overlap;
  Launch("place tokens", shape, queue.stream, PlaceKernel, arguments, cache);
}

}  // namespace sq::cuda
