// cuda_decoder.h's CudaDecoder: buffers, the order of a step's kernels, and its graph.
#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/decoder/decoder_model.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/matmul/kernels.h"
#include "kernels/cuda/streams.h"

namespace sq {

using cuda::Buffer;
using cuda::Epilogue;
using cuda::FusedNorm;
using cuda::LinearBlock;
using cuda::LinearGroup;
using cuda::ModelLayer;
using cuda::Prologue;

namespace {

constexpr int64_t kMaxRows = 512;     // of a chunk of a prompt
constexpr int64_t kBlocksWanted = 2;  // of attention, a multiprocessor
constexpr char kNeedsLess[] = "fewer sequences or fewer tokens need less";

// What rows of one launch need; none of it outlives a step.
struct RowBuffers {
  int64_t rows = 0;
  Buffer<float> hidden, qkv, gate_up;
  Buffer<uint16_t> normed, attended, activated;
};

template <typename T>
Buffer<T> Zeros(int64_t count, const char* what) {
  return Buffer<T>(std::vector<T>(static_cast<size_t>(count), T{}), what);
}

}  // namespace

struct CudaDecoder::State {
  std::shared_ptr<const CudaModel> model;
  int64_t batch = 0, capacity = 0, length = 0;
  int64_t max_tokens = 0;  // the capacity, or the positions that were learned if these are fewer
  bool graphs = true;
  cuda::Stream stream;
  cuda::Queue queue;
  int64_t blocks_wanted = 0;
  std::unique_ptr<CudaContext> context;
  cuda::Gemm gemm;

  std::unique_ptr<cuda::FusedNormScratch> attention_norm, mlp_norm;

  Buffer<float> cos, sin;
  std::vector<Buffer<uint16_t>> keys, values;  // by layer
  RowBuffers buffers;
  Buffer<int32_t> ids, device_length;  // ids: of a chunk
  Buffer<int32_t> best;  // [batch], what a step of one token reads and every step's argmax writes
  Buffer<float> logits;
  cuda::Pinned<float> host_logits;
  cuda::Pinned<int32_t> host_ids;
  Buffer<float> partial, best_values;
  Buffer<int32_t> best_ids;
  Buffer<unsigned> attention_counters, best_counters;

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;

  ~State() {
    cudaStreamSynchronize(stream.handle);
    DropGraph();
  }
  void DropGraph() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
    if (graph != nullptr) cudaGraphDestroy(graph);
    executable = nullptr;
    graph = nullptr;
  }

  const DecoderShape& shape() const { return model->shape(); }
  int64_t QkvRows() const { return (shape().heads + 2 * shape().kv_heads) * shape().head_dim; }
  cuda::Cache CacheOf(size_t layer) const {
    return {keys[layer].data(), values[layer].data(), shape().kv_heads, capacity, shape().head_dim};
  }
  void AllocateCache();
  void AllocateEnds(const RotaryRows& rotary);
  void Reserve(int64_t tokens);
  void Multiply(const LinearGroup& group, const Prologue& input, const CudaMatrix& y,
                const Epilogue& end = {}) {
    cuda::Multiply({queue, *context, gemm}, group, input, y, end);
  }
  void RunLayer(size_t index, int64_t tokens);
  void RunMlp(const ModelLayer& layer, const Prologue& input, const CudaMatrix& hidden,
              const Epilogue& to_hidden);
  void RunHead(int64_t tokens);
  void Run(int32_t* fed, int64_t tokens, bool head);
  void RunOne();
  void Capture();
  void Send(const std::vector<std::vector<int32_t>>& given, size_t first, int64_t tokens,
            int32_t* to);
};

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
  buffers = RowBuffers();
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

void CudaDecoder::State::RunLayer(size_t index, int64_t tokens) {
  const std::vector<ModelLayer>& layers = model->state().layers;
  const ModelLayer& layer = layers[index];
  const DecoderShape& s = shape();
  const int64_t rows = batch * tokens, attended_cols = s.heads * s.head_dim;
  const CudaMatrix hidden(buffers.hidden.data(), FloatType::kFloat32, rows, s.hidden);
  // A norm as the product before it passes it on, if it does.
  const auto passed = [&](const LinearGroup& from, const cuda::NormWeights& norm,
                          const LinearGroup& to, const cuda::FusedNormScratch& place) {
    return rows == 1 ? cuda::FuseNorm(from, norm, s.norm_epsilon, to, place) : FusedNorm();
  };
  // What comes out of it, else by a kernel of its own.
  const auto normed = [&](const FusedNorm& passed_on, const cuda::NormWeights& norm,
                          FloatType type) {
    Prologue input;
    input.norm = passed_on;
    if (passed_on.weight != nullptr) return input;
    input.x = CudaMatrix(buffers.normed.data(), type, rows, s.hidden);
    cuda::Normalize(queue, hidden, norm.weight.data(), norm.bias.data(), s.norm_epsilon, input.x);
    return input;
  };
  const auto attention_norm_of = [&](size_t i) {
    return i == 0 || i == layers.size() ? FusedNorm()
                                        : passed(layers[i - 1].down, layers[i].attention_norm,
                                                 layers[i].qkv, *attention_norm);
  };

  const CudaMatrix qkv(buffers.qkv.data(), FloatType::kFloat32, rows, QkvRows());
  Multiply(layer.qkv, normed(attention_norm_of(index), layer.attention_norm, layer.qkv.input), qkv);
  cuda::RopeArguments rope;
  rope.qkv = qkv;
  rope.heads = s.heads;
  rope.tokens = tokens;
  rope.query_norm = layer.query_norm.weight.data();
  rope.key_norm = layer.key_norm.weight.data();
  rope.epsilon = s.norm_epsilon;
  rope.cos = cos.data();
  rope.sin = sin.data();
  rope.length = device_length.data();
  const cuda::Cache cache = CacheOf(index);
  const bool appended = tokens > 1;  // else attention does it
  if (appended) cuda::RopeAndAppend(queue, rope, cache);
  Prologue attended;
  attended.x = CudaMatrix(buffers.attended.data(), layer.attention_out.input, rows, attended_cols);
  cuda::Attend(queue, cuda::PlanAttention(batch, tokens, s.heads, cache, blocks_wanted), qkv, cache,
               layer.attention_window, device_length.data(),
               {partial.data(), attention_counters.data()}, attended.x, appended ? nullptr : &rope);
  Epilogue to_hidden;
  to_hidden.add = hidden;
  to_hidden.norm = passed(layer.attention_out, layer.mlp_norm, layer.gate_up, *mlp_norm);
  Multiply(layer.attention_out, attended, hidden, to_hidden);

  const Prologue mlp_input = normed(to_hidden.norm, layer.mlp_norm, layer.gate_up.input);
  to_hidden.norm = attention_norm_of(index + 1);
  RunMlp(layer, mlp_input, hidden, to_hidden);
}

// hidden += the MLP of `input`.
void CudaDecoder::State::RunMlp(const ModelLayer& layer, const Prologue& input,
                                const CudaMatrix& hidden, const Epilogue& to_hidden) {
  const DecoderShape& s = shape();
  const int64_t rows = hidden.rows;
  Prologue activated;
  activated.x = CudaMatrix(buffers.activated.data(), layer.down.input, rows, s.intermediate);
  activated.scale = 1 / cuda::kInputScale;  // the one input whose size no norm bounds
  Epilogue gated;
  gated.gating = {s.activation, cuda::kInputScale};
  gated.gated = layer.gate_up.gated;
  if (gated.gated) {
    Multiply(layer.gate_up, input, activated.x, gated);
  } else {
    const int64_t wide = layer.gate_up.rows;
    const CudaMatrix gate_up(buffers.gate_up.data(), FloatType::kFloat32, rows, wide);
    Multiply(layer.gate_up, input, gate_up);
    const CudaMatrix up(buffers.gate_up.data() + (wide - s.intermediate), FloatType::kFloat32, rows,
                        s.intermediate, wide);
    const CudaMatrix gate = layer.gated ? gate_up : CudaMatrix();
    cuda::Activate(queue, gated.gating.function, gate, up, gated.gating.scale, activated.x);
  }
  Multiply(layer.down, activated, hidden, to_hidden);
}

// Logits and best ids after the last tokens.
void CudaDecoder::State::RunHead(int64_t tokens) {
  const CudaModel::State& weights = model->state();
  const int64_t hidden = shape().hidden, vocab = shape().vocab;
  const CudaMatrix last(buffers.hidden.data() + (tokens - 1) * hidden, FloatType::kFloat32, batch,
                        hidden, tokens * hidden);
  const CudaMatrix y(logits.data(), FloatType::kFloat32, batch, vocab);
  const cuda::DenseMatrix& head =
      weights.head != nullptr ? weights.head->parts[0].dense : weights.embedding;
  const CudaMatrix normed(buffers.normed.data(), head.type, batch, hidden);
  cuda::Normalize(queue, last, weights.norm.weight.data(), weights.norm.bias.data(),
                  shape().norm_epsilon, normed);
  cuda::MultiplyDense({queue, *context, gemm}, head, normed, y);
  cuda::Argmax(queue, y, {best_values.data(), best_ids.data(), best_counters.data()}, best.data());
}

// Queues everything that a step does on the device; `fed`: ids [batch][tokens] there.
void CudaDecoder::State::Run(int32_t* fed, int64_t tokens, bool head) {
  const CudaModel::State& weights = model->state();
  const CudaMatrix hidden(buffers.hidden.data(), FloatType::kFloat32, batch * tokens,
                          shape().hidden);
  const CudaMatrix positions =
      weights.positions.values.data() != nullptr ? weights.positions.View() : CudaMatrix();
  cuda::EmbedTokens(queue, {fed, device_length.data()}, tokens, weights.embedding.View(), positions,
                    hidden);
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) RunLayer(layer, tokens);
  if (head) RunHead(tokens);
  cuda::Advance(queue, device_length.data(), tokens);
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
