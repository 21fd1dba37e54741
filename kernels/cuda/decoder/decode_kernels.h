// The kernels between the linear layers of a decoder. Each is queued on a stream and allocates
// nothing; how many tokens there were before is read from device memory, so that one captured graph
// serves every step. Sums are fp32 in an order that depends on sizes alone.
//
// "rows" are tokens: row b * tokens + t is token t of sequence b. All sequences are of one length.
// Pointers are device memory; rows of fp32 matrices begin at multiples of 16 bytes.
//
// What a step of one sequence of a 7B model (32 layers, hidden 4096, intermediate 11008, vocabulary
// 32000, 32 heads of 128) costs beside its linear layers, whose weights are 2.5 GB at 3 bits:
//   bytes     cache    32 * 2 * 4096 * 2 B = 0.5 MB a token seen, 1.07 GB at 2048: as much as 43 %
//             of the weights; at 128 tokens 2.6 %
//             the rest a layer: residual 16 KB read and written four times, products 48 + 16 + 16
//             KB and activations 8 + 8 + 22 + 8 KB written and read once: < 0.4 MB, < 13 MB in all,
//             and that in L2
//   launches  a layer: attention and 4 products = 5, which do its norms and its activation too
//             (dense layers: 8); embedding, first and last norm, head, argmax and advance: 166 in
//             one graph. At about 1.5 us each where nothing overlaps that is 0.25 ms, a third of
//             the time that 2.5 GB take at 3 TB/s: hence programmatic dependent launch
#pragma once

#include "kernels/cuda/runtime.h"
#include "sq/kernels/cuda_decoder.h"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

// Where kernels are queued. With `pdl` (programmatic dependent launch, compute capability 9.0 on) a
// kernel starts once all blocks of the previous one run, and calls WaitForPrevious before it
// touches memory that any other kernel of the step writes. Since every kernel does so, the end of
// one implies the end of all before it on the stream. Several kernels can therefore be resident at
// once, the last of them already loading its weights, and none delays an earlier one, which is
// running. What changes only between steps, such as the number of tokens seen, is read before the
// wait: EmbedTokens, the first kernel of a step, lets no other start before the previous step has
// ended.
struct Queue {
  cudaStream_t stream = nullptr;
  bool pdl = false;
};

// What steps share on the device. `length` tokens have been seen.
struct StepState {
  int32_t* ids;     // [batch][tokens]
  int32_t* length;  // one value
};

// out[r] = table[ids[r]] + positions[length + t]. table: [vocab][hidden], positions: [at
// least length + tokens][hidden] or without data, both of any type; out: fp32.
void EmbedTokens(const Queue& queue, const StepState& state, int64_t tokens,
                 const CudaMatrix& table, const CudaMatrix& positions, const CudaMatrix& out);

constexpr int64_t kMaxNormSize = 16384;
// out[r] = norm(x[r]): (x - mean) / sqrt(variance + epsilon) * weight + bias, or without bias x /
// sqrt(mean square + epsilon) * weight. x: fp32 [rows][size]; weight, bias: fp32 [size], at
// multiples of 16 bytes; out: [rows][size] of any type, rows at multiples of 16 bytes. size: a
// multiple of 4, at most kMaxNormSize.
void Normalize(const Queue& queue, const CudaMatrix& x, const float* weight, const float* bias,
               float epsilon, const CudaMatrix& out);

constexpr int64_t kMaxHeadDim = 256;
// Keys and values of one layer: fp16 [batch][kv_heads][capacity][head_dim] each, head_dim a
// multiple of 8, at most kMaxHeadDim.
struct Cache {
  uint16_t *keys, *values;
  int64_t kv_heads, capacity, head_dim;
};

// qkv: fp32 [rows][(heads + 2 kv_heads) * head_dim], query heads before key heads before value
// heads. Heads of queries and keys are RMS-normalized where there is a weight [head_dim], and
// rotated where there are cos and sin [capacity][head_dim / 2]: dims i and i + head_dim/2 by the
// angle of position length + t. Queries are written back, keys and values go to the cache, rounded
// to fp16.
struct RopeArguments {
  CudaMatrix qkv;
  int64_t heads = 0, tokens = 0;  // tokens of each sequence
  const float *query_norm = nullptr, *key_norm = nullptr;
  float epsilon = 0;
  const float *cos = nullptr, *sin = nullptr;
  const int32_t* length = nullptr;
};
void RopeAndAppend(const Queue& queue, const RopeArguments& arguments, const Cache& cache);

// out[r] = softmax(q k / sqrt(head_dim)) v, causal: over the cache's first length + t + 1
// positions, or the last `window` of them. Query head h reads kv head h / (heads / kv_heads).
// qkv: as RopeAndAppend leaves it; out: [rows][heads * head_dim] of any type. With `place`, which
// is for one token of each sequence, instead of RopeAndAppend: queries are not written back, else
// all is as after it, bit for bit.
//
// A block takes up to 8 queries (head, token) of one kv head, which share what it reads, and one
// split of the positions; each of its warps goes over 32 positions at a time with a maximum and sum
// of its own. The block that finishes last adds the splits in order. Short caches are one split.
struct AttentionPlan {
  int64_t batch, tokens, heads;
  int queries;      // of a block: 1, 2, 4 or 8
  int64_t tiles;    // of a kv head
  int64_t splits;   // at most
  int64_t blocks;   // of one split
  int64_t partial;  // floats of workspace, none for one split
  int64_t counters() const { return blocks; }
};
// `blocks_wanted`: how many keep the device busy.
AttentionPlan PlanAttention(int64_t batch, int64_t tokens, int64_t heads, const Cache& cache,
                            int64_t blocks_wanted);
struct AttentionScratch {
  float* partial;      // AttentionPlan::partial
  unsigned* counters;  // AttentionPlan::counters(), zero, and zero again afterwards
};
void Attend(const Queue& queue, const AttentionPlan& plan, const CudaMatrix& qkv,
            const Cache& cache, int64_t window, const int32_t* length,
            const AttentionScratch& space, const CudaMatrix& out,
            const RopeArguments* rope = nullptr);

// out = f(gate) * up * scale, or f(up) * scale where gate has no data. gate, up: fp32 [rows][cols];
// out: any type. cols: a multiple of 4.
void Activate(const Queue& queue, Activation function, const CudaMatrix& gate, const CudaMatrix& up,
              float scale, const CudaMatrix& out);

// y[r] += bias. y: fp32 [rows][cols].
void AddBias(const Queue& queue, const float* bias, const CudaMatrix& y);

// ids[b] = where x[b] is greatest, the lowest such column; NaN is below all. x: fp32 [batch][cols].
struct ArgmaxScratch {
  float* values;       // ArgmaxParts(cols) a row
  int32_t* ids;        // the same
  unsigned* counters;  // one a row, zero, and zero again afterwards
};
int64_t ArgmaxParts(int64_t cols);
void Argmax(const Queue& queue, const CudaMatrix& x, const ArgmaxScratch& space, int32_t* ids);

// *length += tokens.
void Advance(const Queue& queue, int32_t* length, int64_t tokens);

}  // namespace sq::cuda
