#include "sq/model/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/model/matmul_precision.h"

namespace sq {
namespace {

at::Tensor ApplyNorm(const Norm& norm, const at::Tensor& x, double epsilon) {
  if (norm.bias.defined()) return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, epsilon);
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + epsilon) * norm.weight;
}

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kSilu: return at::silu(x);
    case Activation::kRelu: return at::relu(x);
    case Activation::kGelu: return at::gelu(x);
    case Activation::kGeluTanh: return at::gelu(x, "tanh");
  }
  SQ_DCHECK(false);
  return x;
}

// The second half of each head's values negated and put before the first.
at::Tensor RotateHalf(const at::Tensor& x) {
  const int64_t half = x.size(-1) / 2;
  return at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
}

at::Tensor Rotate(const at::Tensor& x, const RopeTable& rope) {
  return x * rope.cos + RotateHalf(x) * rope.sin;
}

// [batch, tokens, heads * head_dim] -> [batch, heads, tokens, head_dim]
at::Tensor SplitHeads(const at::Tensor& x, int64_t head_dim) {
  return x.view({x.size(0), x.size(1), -1, head_dim}).transpose(1, 2);
}

// Each of the kv heads serves `times` neighbouring query heads.
at::Tensor RepeatHeads(const at::Tensor& x, int64_t times) {
  if (times == 1) return x;
  return x.unsqueeze(2)
      .expand({x.size(0), x.size(1), times, x.size(2), x.size(3)})
      .reshape({x.size(0), x.size(1) * times, x.size(2), x.size(3)});
}

// Which of `keys` positions the `tokens` last ones attend to: bool [tokens, keys], or undefined
// when that is causal attention over one whole sequence, which LibTorch knows by itself.
at::Tensor AttentionMask(int64_t tokens, int64_t keys, int64_t window, const at::Device& device) {
  const bool windowed = window > 0 && window < keys;
  if (tokens == keys && !windowed) return {};
  const at::TensorOptions options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor query = at::arange(keys - tokens, keys, options).unsqueeze(1);
  const at::Tensor key = at::arange(keys, options).unsqueeze(0);
  const at::Tensor causal = key <= query;
  return windowed ? causal.logical_and(key > query - window) : causal;
}

// Causal attention of the last tokens, queries [batch, heads, tokens, head_dim], to all, keys and
// values [batch, kv_heads, keys, head_dim]. LibTorch's fused kernel does not look at the precision
// of fp32 products, so where that is bfloat16 the operands are handed over as such.
at::Tensor AttendCausally(const at::Tensor& queries, const at::Tensor& keys,
                          const at::Tensor& values, int64_t window) {
  const at::Tensor mask = AttentionMask(queries.size(2), keys.size(2), window, queries.device());
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    std::optional<at::Tensor> given;
    if (mask.defined()) given = mask;
    return at::scaled_dot_product_attention(q, k, v, given, /*dropout_p=*/0.0,
                                            /*is_causal=*/!mask.defined());
  };
  const int64_t times = queries.size(1) / keys.size(1);
  const at::Tensor k = RepeatHeads(keys, times), v = RepeatHeads(values, times);
  if (!Bfloat16Products()) return attend(queries, k, v);
  return attend(queries.to(at::kBFloat16), k.to(at::kBFloat16), v.to(at::kBFloat16)).to(at::kFloat);
}

// Attention of one new token, queries [batch, heads, 1, head_dim], to all that the cache holds,
// keys and values [batch, kv_heads, length, head_dim]. The query heads that share a kv head stand
// in for tokens, so that the cache is read as it lies.
at::Tensor AttendToCache(const at::Tensor& queries, const at::Tensor& all_keys,
                         const at::Tensor& all_values, int64_t window) {
  const int64_t length = all_keys.size(2);
  const int64_t seen = window > 0 ? std::min(window, length) : length;
  const at::Tensor keys = all_keys.narrow(2, length - seen, seen);
  const at::Tensor values = all_values.narrow(2, length - seen, seen);
  const int64_t batch = queries.size(0), head_dim = queries.size(3);
  const at::Tensor grouped = queries.reshape({batch, keys.size(1), -1, head_dim});
  if (grouped.is_cuda()) {
    return at::scaled_dot_product_attention(grouped, keys, values)
        .reshape({batch, -1, 1, head_dim});
  }
  at::Tensor out = at::empty_like(grouped);
  ParallelFor(batch, [&](int64_t b) {
    const c10::NoGradGuard no_grad;
    out.narrow(0, b, 1).copy_(at::scaled_dot_product_attention(
        grouped.narrow(0, b, 1), keys.narrow(0, b, 1), values.narrow(0, b, 1)));
  });
  return out.view({batch, -1, 1, head_dim});
}

void AppendToCache(LayerCache* cache, at::Tensor* keys, at::Tensor* values) {
  const int64_t tokens = keys->size(2);
  SQ_DCHECK(cache->length + tokens <= cache->keys.size(2));
  cache->keys.narrow(2, cache->length, tokens).copy_(*keys);
  cache->values.narrow(2, cache->length, tokens).copy_(*values);
  cache->length += tokens;
  *keys = cache->keys.narrow(2, 0, cache->length);
  *values = cache->values.narrow(2, 0, cache->length);
}

// The outputs of linear layers by role; undefined where the layer has none of that role.
class Projector {
 public:
  Projector(const DecoderLayer& layer, const LinearFn& apply) : layer_(layer), apply_(apply) {}

  at::Tensor operator()(LinearRole role, const at::Tensor& x) { return Apply({role}, x).front(); }

  // Of several roles with the same input, which the layer may have fused.
  std::vector<at::Tensor> Apply(const std::vector<LinearRole>& roles, const at::Tensor& x) {
    std::vector<at::Tensor> outputs(roles.size());
    for (size_t i = 0; i < layer_.linears.size(); ++i) {
      const LayerLinear& entry = layer_.linears[i];
      at::Tensor y;
      for (const LinearPart& part : entry.info.parts) {
        const auto wanted = std::find(roles.begin(), roles.end(), part.role);
        if (wanted == roles.end()) continue;
        if (!y.defined()) y = apply_ ? apply_(i, entry.linear, x) : ApplyLinear(entry.linear, x);
        outputs[static_cast<size_t>(wanted - roles.begin())] =
            entry.info.parts.size() == 1 ? y : y.narrow(-1, part.begin, part.rows);
      }
    }
    return outputs;
  }

 private:
  const DecoderLayer& layer_;
  const LinearFn& apply_;
};

// Attention of normed hidden values x [batch, tokens, hidden], before the output projection:
// [batch, tokens, heads * head_dim].
at::Tensor Attend(const ModelConfig& config, const DecoderLayer& layer, const at::Tensor& x,
                  const RopeTable& rope, LayerCache* cache, Projector* project) {
  const std::vector<at::Tensor> projected =
      project->Apply({LinearRole::kQuery, LinearRole::kKey, LinearRole::kValue}, x);
  at::Tensor queries = SplitHeads(projected[0], config.head_dim);
  at::Tensor keys = SplitHeads(projected[1], config.head_dim);
  at::Tensor values = SplitHeads(projected[2], config.head_dim);
  if (const Norm* norm = layer.FindNorm(NormRole::kQuery)) {
    queries = ApplyNorm(*norm, queries, config.norm_epsilon);
  }
  if (const Norm* norm = layer.FindNorm(NormRole::kKey)) {
    keys = ApplyNorm(*norm, keys, config.norm_epsilon);
  }
  if (rope.cos.defined()) {
    queries = Rotate(queries, rope);
    keys = Rotate(keys, rope);
  }
  const int64_t tokens = queries.size(2), window = layer.attention_window;
  if (cache != nullptr) AppendToCache(cache, &keys, &values);
  const at::Tensor attended = tokens == 1 ? AttendToCache(queries, keys, values, window)
                                          : AttendCausally(queries, keys, values, window);
  return attended.transpose(1, 2).reshape({x.size(0), tokens, config.num_heads * config.head_dim});
}

}  // namespace

at::Tensor DecoderForward(const ModelConfig& config, const DecoderLayer& layer,
                          const at::Tensor& hidden, const RopeTable& rope, LayerCache* cache,
                          const LinearFn& apply) {
  Projector project(layer, apply);
  const auto normed = [&](NormRole role, const at::Tensor& x) {
    return ApplyNorm(*layer.FindNorm(role), x, config.norm_epsilon);
  };
  const at::Tensor x = normed(NormRole::kAttention, hidden);
  const at::Tensor attended = Attend(config, layer, x, rope, cache, &project);
  const at::Tensor middle = hidden + project(LinearRole::kAttentionOut, attended);
  const at::Tensor y = normed(NormRole::kMlp, middle);
  const std::vector<at::Tensor> gate_up = project.Apply({LinearRole::kGate, LinearRole::kUp}, y);
  const at::Tensor activated = gate_up[0].defined()
                                   ? Activate(config.activation, gate_up[0]) * gate_up[1]
                                   : Activate(config.activation, gate_up[1]);
  return middle + project(LinearRole::kDown, activated);
}

at::Tensor FinalNorm(const ModelConfig& config, const Head& head, const at::Tensor& hidden) {
  return ApplyNorm(head.norm, hidden, config.norm_epsilon);
}

at::Tensor Logits(const Head& head, const at::Tensor& normed) {
  return ApplyLinear(head.linear, normed);
}

}  // namespace sq
