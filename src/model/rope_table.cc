#include "sq/model/rope_table.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>

#include "sq/base/error.h"
#include "sq/checkpoint/architecture.h"

namespace sq {
namespace {

bool HasRope(const ModelConfig& config) { return config.architecture->positions == nullptr; }

// Wave lengths beyond the original context are stretched by the factor, short ones kept, those
// between blended (transformers, modeling_rope_utils.py, _compute_llama3_parameters).
float ScaleLlama3(const Rope& rope, float frequency) {
  const double wave = 2 * M_PI / frequency;
  if (wave < rope.original_max_positions / rope.high_freq_factor) return frequency;
  if (wave > rope.original_max_positions / rope.low_freq_factor) {
    return static_cast<float>(frequency / rope.factor);
  }
  const double smooth = (rope.original_max_positions / wave - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return static_cast<float>((1 - smooth) * frequency / rope.factor + smooth * frequency);
}

// theta such that the lowest frequency is divided by as much as the sequence is longer
// (_compute_dynamic_ntk_parameters). In fp32, as there.
float DynamicTheta(const Rope& rope, int64_t head_dim, int64_t length) {
  const float theta = static_cast<float>(rope.theta);
  if (length <= rope.max_positions) return theta;
  const float stretch = static_cast<float>(rope.factor) * static_cast<float>(length) /
                            static_cast<float>(rope.max_positions) -
                        static_cast<float>(rope.factor - 1);
  const double dim = static_cast<double>(head_dim);
  return theta * std::pow(stretch, static_cast<float>(dim / (dim - 2)));
}

// The pair that turns `rotations` times within the original context, a fraction as a rule.
double YarnPair(const Rope& rope, int64_t head_dim, double rotations) {
  return static_cast<double>(head_dim) *
         std::log(rope.original_max_positions / (rotations * 2 * M_PI)) /
         (2 * std::log(rope.theta));
}

// Of frequency `pair`, 1 / `power`: kept where it turns often within the original context, divided
// by the factor where it hardly turns, blended between (_compute_yarn_parameters).
float YarnFrequency(const Rope& rope, int64_t head_dim, int64_t pair, float power) {
  double low = YarnPair(rope, head_dim, rope.beta_fast);
  double high = YarnPair(rope, head_dim, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  const float ramp =
      (static_cast<float>(pair) - static_cast<float>(low)) / static_cast<float>(high - low);
  const float kept = 1 - std::clamp(ramp, 0.0f, 1.0f);
  const float divided = 1.0f / (static_cast<float>(rope.factor) * power);
  return divided * (1 - kept) + 1.0f / power * kept;
}

const std::vector<double>& LongRopeFactors(const Rope& rope, int64_t length) {
  return static_cast<double>(length) > rope.original_max_positions ? rope.long_factors
                                                                   : rope.short_factors;
}

// fp32 [positions, pairs], both halves of a row -> cos and sin, times what the type puts on them.
RopeTable TableOf(const ModelConfig& config, const at::Tensor& angles) {
  const at::Tensor both = at::cat({angles, angles}, -1);
  RopeTable table{both.cos(), both.sin()};
  if (config.rope.attention_factor != 1) {
    table.cos.mul_(config.rope.attention_factor);
    table.sin.mul_(config.rope.attention_factor);
  }
  return table;
}

}  // namespace

int64_t RopeLength(const ModelConfig& config, int64_t length) {
  const Rope& rope = config.rope;
  if (!HasRope(config)) return 0;
  if (rope.scaling == Rope::Scaling::kDynamic) return std::max(length, rope.max_positions);
  if (rope.scaling != Rope::Scaling::kLongRope) return 0;
  return static_cast<double>(length) > rope.original_max_positions ? 1 : 0;
}

std::vector<float> RopeFrequencies(const ModelConfig& config, int64_t length) {
  const Rope& rope = config.rope;
  const int64_t pairs = config.head_dim / 2;
  const float theta = rope.scaling == Rope::Scaling::kDynamic
                          ? DynamicTheta(rope, config.head_dim, length)
                          : static_cast<float>(rope.theta);
  std::vector<float> frequencies;
  for (int64_t i = 0; i < pairs; ++i) {
    // In fp32 as transformers does: at position 2000 the rounding of a frequency shows in the
    // angle.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    const float power = std::pow(theta, exponent);
    float frequency = 1.0f / power;
    if (rope.scaling == Rope::Scaling::kLinear) {
      frequency /= static_cast<float>(rope.factor);
    } else if (rope.scaling == Rope::Scaling::kLlama3) {
      frequency = ScaleLlama3(rope, frequency);
    } else if (rope.scaling == Rope::Scaling::kYarn) {
      frequency = YarnFrequency(rope, config.head_dim, i, power);
    } else if (rope.scaling == Rope::Scaling::kLongRope) {
      const double factor = LongRopeFactors(rope, length)[static_cast<size_t>(i)];
      frequency = 1.0f / (static_cast<float>(factor) * power);
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

RopeTable MakeRopeTable(const ModelConfig& config, int64_t begin, int64_t count, int64_t length,
                        const Device& device) {
  if (!HasRope(config)) return {};
  std::vector<float> values = RopeFrequencies(config, length);
  const at::Tensor frequencies =
      at::from_blob(values.data(), {1, static_cast<int64_t>(values.size())}, at::kFloat);
  const at::Tensor positions = at::arange(begin, begin + count, at::kFloat);
  const RopeTable table = TableOf(config, positions.unsqueeze(1) * frequencies);
  return {table.cos.to(TensorDevice(device)), table.sin.to(TensorDevice(device))};
}

RopeTable MakeStepwiseRopeTable(const ModelConfig& config, int64_t begin, int64_t count) {
  if (!HasRope(config)) return {};
  const int64_t pairs = config.head_dim / 2;
  at::Tensor angles = at::empty({count, pairs}, at::kFloat);
  float* out = angles.mutable_data_ptr<float>();
  std::vector<float> frequencies;
  int64_t length_of_these = -1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = RopeLength(config, begin + i + 1);
    if (length != length_of_these) frequencies = RopeFrequencies(config, begin + i + 1);
    length_of_these = length;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      *out++ = static_cast<float>(begin + i) * frequencies[static_cast<size_t>(pair)];
    }
  }
  return TableOf(config, angles);
}

RopeTables::RopeTables(const ModelConfig& config, int64_t longest, const Device& device)
    : config_(config), device_(device), longest_(longest) {
  short_ = MakeRopeTable(config, 0, longest, 1, device);
  const bool alike = RopeLength(config, 1) == RopeLength(config, longest);
  long_ = alike ? short_ : MakeRopeTable(config, 0, longest, longest, device);
}

RopeTable RopeTables::Rows(int64_t begin, int64_t count, int64_t length) const {
  SQ_DCHECK(begin + count <= longest_);
  const int64_t wanted = RopeLength(config_, length);
  const bool is_short = wanted == RopeLength(config_, 1);
  if (!is_short && wanted != RopeLength(config_, longest_)) {
    return MakeRopeTable(config_, begin, count, length, device_);
  }
  const RopeTable& table = is_short ? short_ : long_;
  if (!table.cos.defined()) return {};
  return {table.cos.narrow(0, begin, count), table.sin.narrow(0, begin, count)};
}

}  // namespace sq
