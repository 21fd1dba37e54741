#include "sq/eval/next_token.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "sq/base/error.h"
#include "sq/model/layer_pass.h"

namespace sq {
namespace {

// Tokens of one forward, padding included: enough for a quantized layer to decode each tile of
// weights once for many of them, and few enough for intermediate values of a wide model.
constexpr int64_t kBatchTokens = 1024;

// Prompts of one group that go through the layers together.
struct Batch {
  size_t group;
  std::vector<size_t> prompts;
  int64_t tokens;  // of the longest, without what the group shares
  int64_t length;  // of the longest in all; all of them are rotated alike (RopeLength)
};

int64_t Size(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

// How many tokens all prompts begin with; at least the last token of each is its own. Where the
// prompts' lengths make their keys turn differently, they have nothing in common.
int64_t SharedTokens(const ModelConfig& config, const Prompts& prompts) {
  const auto& first = prompts.front();
  int64_t shared = Size(first) - 1;
  for (const auto& prompt : prompts) {
    if (RopeLength(config, Size(prompt)) != RopeLength(config, Size(first))) return 0;
    const auto end = std::mismatch(first.begin(), first.end(), prompt.begin(), prompt.end()).first;
    shared = std::min({shared, Size(prompt) - 1, static_cast<int64_t>(end - first.begin())});
  }
  return shared;
}

// Prompts of about the same length go together, so that little is padding.
std::vector<Batch> MakeBatches(const ModelConfig& config, const std::vector<Prompts>& groups,
                               const std::vector<int64_t>& shared, int64_t most_tokens) {
  std::vector<Batch> batches;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<size_t> order(groups[g].size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return groups[g][a].size() < groups[g][b].size(); });
    for (const size_t prompt : order) {
      const int64_t length = Size(groups[g][prompt]), tokens = length - shared[g];
      const bool fits =
          !batches.empty() && batches.back().group == g &&
          RopeLength(config, batches.back().length) == RopeLength(config, length) &&
          static_cast<int64_t>(batches.back().prompts.size() + 1) * tokens <= most_tokens;
      if (!fits) batches.push_back({g, {}, 0, 0});
      batches.back().prompts.push_back(prompt);
      batches.back().tokens = tokens;
      batches.back().length = length;
    }
  }
  return batches;
}

// The batches [begin, end) of a run through all layers, and the groups that they are of.
struct Pass {
  size_t begin, end;
  size_t first_group, groups;
};

// As many batches to a pass as their activations, and those of what their groups share, allow.
std::vector<Pass> MakePasses(const ModelConfig& config, const std::vector<Batch>& batches,
                             const std::vector<int64_t>& shared, int64_t max_bytes) {
  const int64_t key_values = 2 * config.num_kv_heads * config.head_dim;
  std::vector<Pass> passes;
  int64_t used = 0;
  for (size_t b = 0; b < batches.size(); ++b) {
    const Batch& batch = batches[b];
    const int64_t own =
        4 * static_cast<int64_t>(batch.prompts.size()) * batch.tokens * config.hidden_size;
    const int64_t group = 4 * shared[batch.group] * (config.hidden_size + key_values);
    const bool same_group = b > 0 && batches[b - 1].group == batch.group;
    const int64_t more = own + (same_group ? 0 : group);
    if (passes.empty() || (max_bytes > 0 && used + more > max_bytes)) {
      passes.push_back({b, b, batch.group, 0});
      used = own + group;
    } else {
      used += more;
    }
    passes.back().end = b + 1;
    passes.back().groups = batch.group + 1 - passes.back().first_group;
  }
  return passes;
}

LayerCache Room(const ModelConfig& config, int64_t batch, int64_t tokens,
                const at::Device& device) {
  const std::vector<int64_t> shape = {batch, config.num_kv_heads, tokens, config.head_dim};
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  return {at::empty(shape, options), at::empty(shape, options), 0};
}

// What a batch's prompts have of their own: [prompts, tokens, hidden]. Padding repeats the last
// token; nothing that counts comes after it, so nothing attends to it.
at::Tensor EmbedOwn(const Model& model, const Prompts& prompts, const Batch& batch,
                    int64_t shared) {
  std::vector<at::Tensor> rows;
  for (const size_t prompt : batch.prompts) {
    std::vector<int32_t> own(prompts[prompt].begin() + shared, prompts[prompt].end());
    own.resize(static_cast<size_t>(batch.tokens), own.back());
    rows.push_back(EmbedTokens(model, own, shared));
  }
  return at::stack(rows);
}

// One layer over a batch whose prompts go on from `prefix`.
at::Tensor ForwardBatch(const ModelConfig& config, const DecoderLayer& layer,
                        const at::Tensor& hidden, const RopeTables& rope, int64_t length,
                        const LayerCache& prefix) {
  const int64_t shared = prefix.length, tokens = hidden.size(1);
  LayerCache cache = Room(config, hidden.size(0), shared + tokens, hidden.device());
  cache.keys.narrow(2, 0, shared).copy_(prefix.keys);
  cache.values.narrow(2, 0, shared).copy_(prefix.values);
  cache.length = shared;
  return DecoderForward(config, layer, hidden, rope.Rows(shared, tokens, length), &cache);
}

// What all passes work on.
struct Work {
  const Model& model;
  const std::vector<Prompts>& groups;
  const NextTokenOptions& options;
  std::vector<int64_t> shared;  // tokens, of each group
  std::vector<Batch> batches;
  RopeTables rope;
};

// Takes the pass's batches through all layers: their hidden values, [prompts, tokens, hidden] each.
std::vector<at::Tensor> RunPass(const Work& work, const Pass& pass,
                                const std::function<void()>& layer_done) {
  const ModelConfig& config = work.model.config;
  const Device& device = work.options.device;
  const at::Device where = TensorDevice(device);
  std::vector<at::Tensor> prefixes(pass.groups), hidden(pass.end - pass.begin);
  // Calls body(group, its index in the pass), or the same with a batch.
  const auto for_groups = [&](const auto& body) {
    DeviceFor(device, static_cast<int64_t>(pass.groups), [&](int64_t i) {
      const c10::NoGradGuard no_grad;
      body(pass.first_group + static_cast<size_t>(i), static_cast<size_t>(i));
    });
  };
  const auto for_batches = [&](const auto& body) {
    DeviceFor(device, static_cast<int64_t>(hidden.size()), [&](int64_t i) {
      const c10::NoGradGuard no_grad;
      body(work.batches[pass.begin + static_cast<size_t>(i)], static_cast<size_t>(i));
    });
  };
  for_groups([&](size_t g, size_t i) {
    const auto& prompt = work.groups[g].front();
    prefixes[i] = EmbedTokens(work.model, {prompt.begin(), prompt.begin() + work.shared[g]});
    prefixes[i] = prefixes[i].unsqueeze(0).to(where);
  });
  for_batches([&](const Batch& batch, size_t i) {
    hidden[i] = EmbedOwn(work.model, work.groups[batch.group], batch, work.shared[batch.group]);
    hidden[i] = hidden[i].to(where);
  });
  LayerLoader loader(work.model, PassWeights(device, work.options.bfloat16), device);
  const auto run_layer = [&](int64_t, const DecoderLayer& weights) {
    std::vector<LayerCache> caches(pass.groups);
    for_groups([&](size_t g, size_t i) {
      const int64_t tokens = work.shared[g];
      caches[i] = Room(config, 1, tokens, where);
      if (tokens == 0) return;
      const RopeTable rope = work.rope.Rows(0, tokens, Size(work.groups[g].front()));
      prefixes[i] = DecoderForward(config, weights, prefixes[i], rope, &caches[i]);
    });
    for_batches([&](const Batch& batch, size_t i) {
      hidden[i] = ForwardBatch(config, weights, hidden[i], work.rope, batch.length,
                               caches[batch.group - pass.first_group]);
    });
  };
  ForEachLayer(&loader, config.num_layers, device, run_layer, [&](int64_t) { layer_done(); });
  return hidden;
}

}  // namespace

std::vector<at::Tensor> NextTokenLogits(const Model& model, const std::vector<Prompts>& groups,
                                        const std::vector<int32_t>& candidates,
                                        const NextTokenOptions& options) {
  const ModelConfig& config = model.config;
  const c10::NoGradGuard no_grad;
  const Device& device = options.device;
  Work work{model, groups, options, {}, {}, {}};
  std::vector<at::Tensor> last;  // hidden values of each prompt's last token
  int64_t longest = 0;
  for (const Prompts& group : groups) {
    SQ_DCHECK(!group.empty());
    for (const auto& prompt : group) longest = std::max(longest, Size(prompt));
    work.shared.push_back(SharedTokens(config, group));
    last.push_back(at::empty({static_cast<int64_t>(group.size()), config.hidden_size}, at::kFloat));
  }
  work.batches =
      MakeBatches(config, groups, work.shared, device.cuda ? kDeviceTokens : kBatchTokens);
  work.rope = RopeTables(config, longest, device);
  const std::vector<Pass> passes = MakePasses(config, work.batches, work.shared, options.max_bytes);
  const int64_t layers = static_cast<int64_t>(passes.size()) * config.num_layers;
  int64_t layers_done = 0;
  if (options.progress) options.progress(0, layers);
  for (const Pass& pass : passes) {
    const std::vector<at::Tensor> hidden = RunPass(work, pass, [&] {
      if (options.progress) options.progress(++layers_done, layers);
    });
    for (size_t i = 0; i < hidden.size(); ++i) {
      const Batch& batch = work.batches[pass.begin + i];
      for (size_t row = 0; row < batch.prompts.size(); ++row) {
        const size_t prompt = batch.prompts[row];
        const int64_t own = Size(groups[batch.group][prompt]) - work.shared[batch.group];
        last[batch.group][static_cast<int64_t>(prompt)].copy_(
            hidden[i][static_cast<int64_t>(row)][own - 1]);
      }
    }
  }
  Head head = LoadHead(model, DenseWeights::kFloat, device);
  for (const int32_t id : candidates) {
    CheckTokenId(model, id);
  }
  const std::vector<int64_t> ids(candidates.begin(), candidates.end());
  head.linear.weight =
      head.linear.dense().index_select(0, at::tensor(ids).to(TensorDevice(device)));
  std::vector<at::Tensor> logits;
  for (const at::Tensor& rows : last) {
    logits.push_back(Logits(head, FinalNorm(config, head, rows.to(TensorDevice(device)))).cpu());
  }
  return logits;
}

}  // namespace sq
