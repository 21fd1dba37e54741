// cuda_decoder.h's CudaModel: checks, and the way of weights to the device.
#include "kernels/cuda/decoder/decoder_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/cuda/decoder/decode_kernels.h"
#include "sq/base/half.h"
#include "sq/base/parallel.h"

namespace sq {

using cuda::Buffer;
using cuda::DenseMatrix;
using cuda::LinearBlock;
using cuda::LinearGroup;

namespace {

constexpr int64_t kAtOnce = 1 << 16;  // elements converted at a time
constexpr char kNeedsLess[] = "quantized to fewer bits the model needs less";

// `count` values from element `first` on, as fp32.
void ReadValues(const HostMatrix& matrix, int64_t first, int64_t count, std::vector<float>* out) {
  const auto* bytes = static_cast<const uint8_t*>(matrix.data);
  out->resize(static_cast<size_t>(count));
  if (matrix.type == FloatType::kFloat32) {
    std::memcpy(out->data(), bytes + 4 * first, static_cast<size_t>(4 * count));
    return;
  }
  // A file's values may lie at odd addresses.
  std::vector<uint16_t> stored(static_cast<size_t>(count));
  std::memcpy(stored.data(), bytes + 2 * first, static_cast<size_t>(2 * count));
  if (matrix.type == FloatType::kFloat16) {
    Fp16ToFloat(stored.data(), out->data(), count);
  } else {
    Bf16ToFloat(stored.data(), out->data(), count);
  }
}

// Calls body(first, count) for parts of the matrix, several at a time.
template <typename Body>
void ForParts(const HostMatrix& matrix, const Body& body) {
  const int64_t count = matrix.rows * matrix.cols;
  ParallelFor(cuda::CeilDivide(count, kAtOnce), [&](int64_t part) {
    body(part * kAtOnce, std::min(kAtOnce, count - part * kAtOnce));
  });
}

// fp16 where all values fit, else bf16.
FloatType TypeOnDevice(const HostMatrix& matrix) {
  if (matrix.type == FloatType::kFloat16) return matrix.type;
  constexpr float kMost = 65504;
  std::atomic<bool> fits{true};
  ForParts(matrix, [&](int64_t first, int64_t count) {
    std::vector<float> values;
    ReadValues(matrix, first, count, &values);
    const bool all = std::all_of(values.begin(), values.end(),
                                 [](float value) { return std::fabs(value) <= kMost; });
    if (!all) fits = false;
  });
  return fits ? FloatType::kFloat16 : FloatType::kBFloat16;
}

// Writes the matrix to `out` on the device.
void Copy(const HostMatrix& matrix, FloatType type, uint16_t* out) {
  const int64_t count = matrix.rows * matrix.cols;
  if (matrix.type == type) {
    return cuda::CopyToDevice(out, matrix.data, 2 * count, "weights");
  }
  std::vector<uint16_t> rounded(static_cast<size_t>(count));
  ForParts(matrix, [&](int64_t first, int64_t some) {
    std::vector<float> values;
    ReadValues(matrix, first, some, &values);
    if (type == FloatType::kFloat16) {
      FloatToFp16(values.data(), rounded.data() + first, some);
    } else {
      FloatToBf16(values.data(), rounded.data() + first, some);
    }
  });
  cuda::CopyToDevice(out, rounded.data(), 2 * count, "weights");
}

DenseMatrix Upload(const HostMatrix& matrix, const char* what) {
  DenseMatrix out;
  out.type = TypeOnDevice(matrix);
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.values = Buffer<uint16_t>(CheckedMultiply(matrix.rows, matrix.cols, what), what);
  Copy(matrix, out.type, out.values.data());
  return out;
}

Buffer<float> Upload(const float* values, int64_t count, const char* what) {
  if (values == nullptr) return {};
  return Buffer<float>(std::vector<float>(values, values + count), what);
}

cuda::NormWeights Upload(const DecoderNorm& norm, int64_t size) {
  return {Upload(norm.weight, size, "norms"), Upload(norm.bias, size, "norms")};
}

// Rows [begin, begin + rows) of a layer as a layer of their own.
DecoderLinear RowsOf(const DecoderLinear& linear, int64_t begin, int64_t rows) {
  if (begin == 0 && rows == linear.rows()) return linear;
  DecoderLinear part = linear;
  if (linear.packed) {
    part.packed = sq::RowsOf(*linear.packed, begin, rows);
    return part;
  }
  const int64_t bytes = linear.dense.type == FloatType::kFloat32 ? 4 : 2;
  part.dense.data =
      static_cast<const uint8_t*>(linear.dense.data) + begin * linear.dense.cols * bytes;
  part.dense.rows = rows;
  if (linear.bias != nullptr) part.bias = linear.bias + begin;
  return part;
}

// The rows of a decoder layer that have `role`; nothing where there are none.
std::optional<DecoderLinear> FindLinear(const DecoderLayerWeights& layer, LinearRole role) {
  for (const DecoderLinear& linear : layer.linears) {
    for (const LinearPart& part : linear.parts) {
      if (part.role != role) continue;
      SQ_CHECK(part.begin >= 0 && part.rows >= 0 && part.begin + part.rows <= linear.rows(),
               "rows ", part.begin, " to ", part.begin + part.rows, " of a linear layer of ",
               linear.rows());
      return RowsOf(linear, part.begin, part.rows);
    }
  }
  return std::nullopt;
}

bool HasBias(const DecoderLinear& linear) {
  return linear.packed ? linear.packed->bias != nullptr : linear.bias != nullptr;
}

// Whether two layers can be one matrix; `types` are theirs on the device.
bool Alike(const DecoderLinear& a, const DecoderLinear& b, FloatType type_a, FloatType type_b) {
  if (a.packed.has_value() != b.packed.has_value() || HasBias(a) != HasBias(b)) return false;
  return a.packed ? a.packed->bits == b.packed->bits : type_a == type_b;
}

LinearBlock UploadPart(const std::vector<const DecoderLinear*>& linears, FloatType type,
                       bool interleaved) {
  LinearBlock part;
  for (const DecoderLinear* linear : linears) part.rows += linear->rows();
  if (linears.front()->packed) {
    std::vector<PackedView> views;
    for (const DecoderLinear* linear : linears) views.push_back(*linear->packed);
    part.packed = std::make_unique<CudaLayer>(views, interleaved);
    return part;
  }
  const int64_t cols = linears.front()->cols();
  part.dense.type = type;
  part.dense.rows = part.rows;
  part.dense.cols = cols;
  part.dense.values =
      Buffer<uint16_t>(CheckedMultiply(part.rows, cols, "dense weights"), "dense weights");
  std::vector<float> bias;
  int64_t row = 0;
  for (const DecoderLinear* linear : linears) {
    Copy(linear->dense, type, part.dense.values.data() + row * cols);
    row += linear->rows();
    if (linear->bias != nullptr)
      bias.insert(bias.end(), linear->bias, linear->bias + linear->rows());
  }
  if (!bias.empty()) part.bias = Buffer<float>(bias, "biases");
  return part;
}

// `rows`: of each layer. `gate_up`: these they are.
LinearGroup UploadGroup(const std::vector<DecoderLinear>& linears, const std::vector<int64_t>& rows,
                        int64_t cols, const std::string& what, bool gate_up = false) {
  LinearGroup group;
  group.cols = cols;
  std::vector<FloatType> types(linears.size(), FloatType::kFloat16);
  bool any_fp16 = false;
  for (size_t i = 0; i < linears.size(); ++i) {
    const DecoderLinear& linear = linears[i];
    SQ_CHECK(linear.rows() == rows[i] && linear.cols() == cols, what,
             linears.size() > 1 ? StrCat(", number ", i + 1) : "", ": expected a layer of [",
             rows[i], ", ", cols, "], found [", linear.rows(), ", ", linear.cols(), "]");
    if (linear.packed) continue;
    types[i] = TypeOnDevice(linear.dense);
    if (types[i] == FloatType::kBFloat16) group.input = FloatType::kBFloat16;
    any_fp16 = any_fp16 || types[i] == FloatType::kFloat16;
  }
  SQ_CHECK(group.input == FloatType::kFloat16 || !any_fp16, what,
           ": layers of one input in fp16 and in bf16");
  for (size_t begin = 0, end; begin < linears.size(); begin = end) {
    std::vector<const DecoderLinear*> some;
    for (end = begin;
         end < linears.size() && Alike(linears[begin], linears[end], types[begin], types[end]);
         ++end) {
      some.push_back(&linears[end]);
    }
    group.gated = gate_up && some.size() == 2 && some.front()->packed.has_value();
    group.parts.push_back(UploadPart(some, types[begin], group.gated));
    group.parts.back().first = group.rows;
    group.rows += group.parts.back().rows;
  }
  return group;
}

int64_t BytesOf(const LinearGroup& group) {
  int64_t bytes = 0;
  for (const LinearBlock& part : group.parts) {
    bytes += part.dense.values.bytes() + part.bias.bytes() +
             (part.packed != nullptr ? part.packed->DeviceBytes() : 0);
  }
  return bytes;
}
int64_t BytesOf(const cuda::NormWeights& norm) { return norm.weight.bytes() + norm.bias.bytes(); }

}  // namespace

CudaModel::CudaModel(const DecoderShape& shape) : state_(std::make_unique<State>()) {
  SQ_CHECK(shape.hidden % 8 == 0 && shape.hidden <= cuda::kMaxNormSize, "hidden size ",
           shape.hidden, ": the CUDA decoder takes multiples of 8 up to ", cuda::kMaxNormSize);
  SQ_CHECK(shape.intermediate % 8 == 0, "intermediate size ", shape.intermediate,
           ": the CUDA decoder takes multiples of 8");
  SQ_CHECK(shape.head_dim % 8 == 0 && shape.head_dim <= cuda::kMaxHeadDim, "heads of ",
           shape.head_dim, ": the CUDA decoder takes multiples of 8 up to ", cuda::kMaxHeadDim);
  state_->shape = shape;
}
CudaModel::~CudaModel() = default;
const DecoderShape& CudaModel::shape() const { return state_->shape; }
std::unique_ptr<DecoderSession> CudaModel::NewSession(int64_t batch, int64_t capacity,
                                                      const RotaryRows& rotary) const {
  return std::make_unique<CudaDecoder>(
      std::static_pointer_cast<const CudaModel>(shared_from_this()), batch, capacity, rotary);
}
int64_t CudaModel::Bytes() const { return state_->bytes; }
int64_t CudaModel::StepBytes() const {
  return state_->bytes - state_->positions.values.bytes() -
         (state_->head != nullptr ? state_->embedding.values.bytes() : 0);
}

void CudaModel::AddLayer(const DecoderLayerWeights& layer) {
  const DecoderShape& shape = state_->shape;
  const std::string name = StrCat("layer ", state_->layers.size(), ", ");
  const int64_t queries = shape.heads * shape.head_dim, keys = shape.kv_heads * shape.head_dim;
  const auto group = [&](const std::vector<LinearRole>& roles, const std::vector<int64_t>& rows,
                         int64_t cols, const char* what) {
    std::vector<DecoderLinear> linears;
    for (const LinearRole role : roles) {
      const std::optional<DecoderLinear> linear = FindLinear(layer, role);
      SQ_CHECK(linear, name, what, ": has no weights");
      linears.push_back(*linear);
    }
    return UploadGroup(linears, rows, cols, name + what, roles.front() == LinearRole::kGate);
  };
  cuda::WithAdvice(kNeedsLess, [&] {
    cuda::ModelLayer out;
    out.qkv = group({LinearRole::kQuery, LinearRole::kKey, LinearRole::kValue},
                    {queries, keys, keys}, shape.hidden, "query, key and value");
    out.attention_out =
        group({LinearRole::kAttentionOut}, {shape.hidden}, queries, "attention's output");
    out.gated = FindLinear(layer, LinearRole::kGate).has_value();
    out.gate_up = out.gated
                      ? group({LinearRole::kGate, LinearRole::kUp},
                              {shape.intermediate, shape.intermediate}, shape.hidden, "gate and up")
                      : group({LinearRole::kUp}, {shape.intermediate}, shape.hidden, "up");
    out.down = group({LinearRole::kDown}, {shape.hidden}, shape.intermediate, "down");
    for (const DecoderNorm& norm : layer.norms) {
      const bool of_heads = norm.role == NormRole::kQuery || norm.role == NormRole::kKey;
      out.Norm(norm.role) = Upload(norm, of_heads ? shape.head_dim : shape.hidden);
      state_->bytes += BytesOf(out.Norm(norm.role));
    }
    SQ_CHECK(out.attention_norm.weight.data() != nullptr && out.mlp_norm.weight.data() != nullptr,
             name, "expected a norm before attention and one before the MLP");
    out.attention_window = layer.attention_window;
    for (const LinearGroup* part : {&out.qkv, &out.attention_out, &out.gate_up, &out.down}) {
      state_->bytes += BytesOf(*part);
    }
    state_->layers.push_back(std::move(out));
  });
}

void CudaModel::SetEmbeddingAndHead(const EmbeddingAndHead& ends) {
  cuda::WithAdvice(kNeedsLess, [&] {
    State& state = *state_;
    const DecoderShape& shape = state.shape;
    const auto expect = [&](const HostMatrix& matrix, const char* what) {
      SQ_CHECK(matrix.rows == shape.vocab && matrix.cols == shape.hidden, what, ": expected [",
               shape.vocab, ", ", shape.hidden, "], found [", matrix.rows, ", ", matrix.cols, "]");
    };
    expect(ends.embedding, "embedding");
    expect(ends.head, "head");
    SQ_CHECK(ends.norm.weight != nullptr, "a model without a norm at its end");
    SQ_CHECK(ends.positions.data == nullptr || ends.positions.cols == shape.hidden,
             "learned positions: expected rows of ", shape.hidden, ", found ", ends.positions.cols);
    state.embedding = Upload(ends.embedding, "the embedding");
    if (ends.positions.data != nullptr) {
      state.positions = Upload(ends.positions, "learned positions");
    }
    state.norm = Upload(ends.norm, shape.hidden);
    state.bytes +=
        state.embedding.values.bytes() + state.positions.values.bytes() + BytesOf(state.norm);
    if (ends.head.data == ends.embedding.data) return;
    DecoderLinear head;
    head.dense = ends.head;
    state.head =
        std::make_unique<LinearGroup>(UploadGroup({head}, {shape.vocab}, shape.hidden, "head"));
    state.bytes += BytesOf(*state.head);
  });
}

}  // namespace sq
