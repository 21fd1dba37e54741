// cuda_decoder.h's CudaDecoder: memory, the graph of a step, and the way of ids and logits.
#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/cuda/decoder/decoder_state.h"
#include "kernels/cuda/device_info.h"

namespace sq {

using cuda::Buffer;
using cuda::LinearBlock;
using cuda::LinearGroup;
using cuda::ModelLayer;

namespace {

constexpr int64_t kMaxRows = 512;     // of a chunk of a prompt
constexpr int64_t kBlocksWanted = 2;  // of attention, a multiprocessor
constexpr char kNeedsLess[] = "fewer sequences or fewer tokens need less";

template <typename T>
Buffer<T> Zeros(int64_t count, const char* what) {
  return Buffer<T>(std::vector<T>(static_cast<size_t>(count), T{}), what);
}

}  // namespace

// fp16 keys and values of every layer.
void CudaDecoder::State::AllocateCache() {
  const int64_t heads = CheckedMultiply(batch * shape().kv_heads, capacity, "cache");
  const int64_t count = CheckedMultiply(heads, shape().head_dim, "cache");
  for (size_t layer = 0; layer < model->state().layers.size(); ++layer) {
    keys.emplace_back(count, "the key-value cache");
    values.emplace_back(count, "the key-value cache");
  }
}

void CudaDecoder::State::AllocateEnds(const RotaryRows& rotary) {
  const int64_t angles = capacity * shape().head_dim / 2;
  if (rotary.cos != nullptr) {
    cos = Buffer<float>(std::vector<float>(rotary.cos, rotary.cos + angles), "rotary angles");
    sin = Buffer<float>(std::vector<float>(rotary.sin, rotary.sin + angles), "rotary angles");
  }
  const int64_t vocab = shape().vocab, parts = cuda::ArgmaxParts(vocab);
  attention_norm = std::make_unique<cuda::FusedNormScratch>(shape().hidden);
  mlp_norm = std::make_unique<cuda::FusedNormScratch>(shape().hidden);
  device_length = Zeros<int32_t>(1, "a step's state");
  best = Zeros<int32_t>(batch, "a step's state");
  logits = Buffer<float>(CheckedMultiply(batch, vocab, "logits"), "logits");
  host_logits.Grow(logits.count());
  host_ids.Grow(std::max(batch, kMaxRows));
  ids = Buffer<int32_t>(std::max(batch, kMaxRows), "a step's state");
  best_values = Buffer<float>(batch * parts, "argmax");
  best_ids = Buffer<int32_t>(batch * parts, "argmax");
  best_counters = Zeros<unsigned>(batch, "argmax");
}

// Makes room for steps of up to `tokens` tokens a sequence.
void CudaDecoder::State::Reserve(int64_t tokens) {
  const int64_t rows = batch * tokens;
  if (buffers.rows >= rows) return;
  cuda::Check(cudaStreamSynchronize(stream.handle), "a step");
  DropGraph();  // it holds the old buffers' addresses
  const CudaModel::State& weights = model->state();
  buffers = cuda::RowBuffers();
  buffers.hidden = Buffer<float>(rows * shape().hidden, "activations");
  buffers.qkv = Buffer<float>(rows * QkvRows(), "activations");
  buffers.gate_up = Buffer<float>(rows * 2 * shape().intermediate, "activations");
  buffers.normed = Buffer<uint16_t>(rows * shape().hidden, "activations");
  buffers.attended = Buffer<uint16_t>(rows * shape().heads * shape().head_dim, "activations");
  buffers.activated = Buffer<uint16_t>(rows * shape().intermediate, "activations");
  for (const ModelLayer& layer : weights.layers) {
    for (const LinearGroup* group :
         {&layer.qkv, &layer.attention_out, &layer.gate_up, &layer.down}) {
      for (const LinearBlock& part : group->parts) {
        if (part.packed != nullptr) ReserveCudaMatmul(*context, *part.packed, rows);
      }
    }
  }
  // Any number of tokens up to `tokens` may come: fewer have more splits but fewer tiles.
  const cuda::Cache cache = {nullptr, nullptr, shape().kv_heads, capacity, shape().head_dim};
  int64_t floats = 0, counters = 0;
  for (int64_t count = 1; count <= tokens; ++count) {
    const cuda::AttentionPlan plan =
        cuda::PlanAttention(batch, count, shape().heads, cache, blocks_wanted);
    floats = std::max(floats, plan.partial);
    counters = std::max(counters, plan.counters());
  }
  partial = Buffer<float>(floats, "attention's workspace");
  attention_counters = Zeros<unsigned>(counters, "attention's workspace");
  buffers.rows = rows;
}

// A step of one token, read from `best`. The first is launched kernel by kernel, which also loads
// them and chooses the library's algorithms; then it is captured, if that can be done.
void CudaDecoder::State::RunOne() {
  if (executable != nullptr) {
    cuda::Check(cudaGraphLaunch(executable, stream.handle), "a step's graph");
    return;
  }
  Run(best.data(), 1, true);
  if (graphs) Capture();
}

void CudaDecoder::State::Capture() {
  cuda::Check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), "capture");
  bool captured = true;
  try {
    Run(best.data(), 1, true);
  } catch (const Error&) {
    captured = false;
  }
  const cudaError_t ended = cudaStreamEndCapture(stream.handle, &graph);
  if (captured && ended == cudaSuccess &&
      cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess) {
    return;
  }
  // For want of memory, say. What is wrong with the device itself the next launch tells.
  cudaGetLastError();
  DropGraph();
  graphs = false;
}

// Ids [first, first + tokens) of each sequence to device memory.
void CudaDecoder::State::Send(const std::vector<std::vector<int32_t>>& given, size_t first,
                              int64_t tokens, int32_t* to) {
  // Not to be written while it is still read.
  cuda::Check(cudaStreamSynchronize(stream.handle), "a step");
  int32_t* host = host_ids.data();
  for (const std::vector<int32_t>& sequence : given) {
    host = std::copy_n(sequence.begin() + static_cast<int64_t>(first), tokens, host);
  }
  cuda::Check(cudaMemcpyAsync(to, host_ids.data(), static_cast<size_t>(4 * batch * tokens),
                              cudaMemcpyHostToDevice, stream.handle),
              "token ids");
}

CudaDecoder::CudaDecoder(std::shared_ptr<const CudaModel> model, int64_t batch, int64_t capacity,
                         const RotaryRows& rotary, bool graphs) {
  SQ_CHECK(batch > 0 && capacity > 0, "decoding of ", batch, " sequences of ", capacity, " tokens");
  const cuda::DeviceInfo& device = cuda::CurrentDeviceInfo();
  cuda::WithAdvice(kNeedsLess, [&] {
    state_ = std::make_unique<State>();
    State& state = *state_;
    state.model = std::move(model);
    state.batch = batch;
    state.capacity = state.max_tokens = capacity;
    const cuda::DenseMatrix& positions = state.model->state().positions;
    if (positions.values.data() != nullptr) {
      state.max_tokens = std::min(capacity, positions.rows);
    }
    state.graphs = graphs;
    state.queue = {state.stream.handle, device.pdl};
    state.blocks_wanted = kBlocksWanted * device.multiprocessors;
    state.context = std::make_unique<CudaContext>(state.stream.handle, device.pdl);
    state.AllocateCache();
    state.AllocateEnds(rotary);
    state.Reserve(1);
  });
}
CudaDecoder::~CudaDecoder() = default;

void CudaDecoder::SetRotary(int64_t begin, int64_t count, const RotaryRows& rows) {
  const State& state = *state_;
  const int64_t half = state.shape().head_dim / 2;
  SQ_DCHECK((begin + count) * half <= state.cos.count());
  cuda::Check(cudaStreamSynchronize(state.stream.handle), "a step");
  const int64_t first = begin * half, bytes = 4 * count * half;
  cuda::CopyToDevice(state.cos.data() + first, rows.cos, bytes, "rotary angles");
  cuda::CopyToDevice(state.sin.data() + first, rows.sin, bytes, "rotary angles");
}

void CudaDecoder::Step(const std::vector<std::vector<int32_t>>& ids, float* logits) {
  State& state = *state_;
  SQ_DCHECK(static_cast<int64_t>(ids.size()) == state.batch && !ids[0].empty());
  for (const auto& sequence : ids) SQ_DCHECK(sequence.size() == ids[0].size());
  const auto tokens = static_cast<int64_t>(ids[0].size());
  SQ_CHECK(state.length + tokens <= state.max_tokens, "decoding of ", tokens, " tokens after ",
           state.length, ": there is room for ", state.max_tokens);
  if (tokens == 1) {
    cuda::WithAdvice(kNeedsLess, [&] {
      state.Reserve(1);
    });  // there is room, unless more was once asked for in vain
    state.Send(ids, 0, 1, state.best.data());
    state.RunOne();
  } else {
    const int64_t chunk = std::min(std::max<int64_t>(kMaxRows / state.batch, 1), tokens);
    cuda::WithAdvice(kNeedsLess, [&] { state.Reserve(chunk); });
    for (int64_t first = 0; first < tokens; first += chunk) {
      const int64_t some = std::min(chunk, tokens - first);
      state.Send(ids, static_cast<size_t>(first), some, state.ids.data());
      state.Run(state.ids.data(), some, first + some == tokens);
    }
  }
  state.length += tokens;
  if (logits == nullptr) return;
  cuda::Check(cudaMemcpyAsync(state.host_logits.data(), state.logits.data(),
                              static_cast<size_t>(state.logits.bytes()), cudaMemcpyDeviceToHost,
                              state.stream.handle),
              "logits");
  cuda::Check(cudaStreamSynchronize(state.stream.handle), "a step");
  std::memcpy(logits, state.host_logits.data(), static_cast<size_t>(state.logits.bytes()));
}

std::vector<int32_t> CudaDecoder::StepGreedily(const std::vector<std::vector<int32_t>>& ids) {
  Step(ids, nullptr);
  return Best();
}

std::vector<int32_t> CudaDecoder::StepGreedily() {
  StepBest();
  return Best();
}

std::vector<int32_t> CudaDecoder::Best() const {
  const State& state = *state_;
  cuda::Check(cudaStreamSynchronize(state.stream.handle), "a step");
  return state.best.ToHost();
}

void CudaDecoder::StepBest() {
  SQ_CHECK(state_->length > 0 && state_->length < state_->max_tokens, "decoding of a token after ",
           state_->length, ": there is room for ", state_->max_tokens);
  state_->RunOne();
  ++state_->length;
}

void CudaDecoder::Reset() {
  State& state = *state_;
  cuda::Check(cudaMemsetAsync(state.device_length.data(), 0, 4, state.stream.handle), "reset");
  state.length = 0;
}

int64_t CudaDecoder::length() const { return state_->length; }

}  // namespace sq
