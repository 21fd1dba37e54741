// The kernels of a decoding step, in order.
#include "kernels/cuda/decoder/decoder_state.h"

namespace sq {

using cuda::Epilogue;
using cuda::FusedNorm;
using cuda::LinearGroup;
using cuda::ModelLayer;
using cuda::Prologue;

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

}  // namespace sq
