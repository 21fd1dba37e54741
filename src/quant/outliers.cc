#include "sq/quant/outliers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sq/base/error.h"

namespace sq {
namespace {

// Keys in the order of the numbers; of magnitudes when the sign is dropped.
uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

uint32_t MagnitudeKey(float value) { return BitsOf(value) & 0x7fffffffu; }

uint32_t OrderKey(float value) {
  const uint32_t bits = BitsOf(value + 0.0f);  // -0 becomes +0
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}

float FromOrderKey(uint32_t key) {
  const uint32_t bits = key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A key and its rank among the keys equal to it.
struct Selected {
  uint32_t key = 0;
  int64_t rank_among_equals = 0;
};

// The key of rank `rank` (0 = smallest), by counting upper, then lower halves: two passes without a
// copy. for_each_key(visit) calls visit(key) for all keys, the same ones each time.
template <typename ForEachKey>
Selected SelectKey(const ForEachKey& for_each_key, int64_t rank) {
  std::vector<int64_t> counts(1 << 16, 0);
  // The bucket that `rank` falls in; `rank` becomes that inside it.
  const auto find = [&] {
    uint32_t bucket = 0;
    while (rank >= counts[bucket]) rank -= counts[bucket++];
    return bucket;
  };
  for_each_key([&](uint32_t key) { ++counts[key >> 16]; });
  const uint32_t upper = find();
  std::fill(counts.begin(), counts.end(), 0);
  for_each_key([&](uint32_t key) {
    if (key >> 16 == upper) ++counts[key & 0xffffu];
  });
  const uint32_t lower = find();
  return {upper << 16 | lower, rank};
}

// The places chosen so far, in row-major order.
using Places = std::vector<int64_t>;

// Calls visit(place, value) for each place that is not in `chosen`, in order.
template <typename Visit>
void ForEachLeft(MatrixView<const float> matrix, const Places& chosen, const Visit& visit) {
  auto skip = chosen.begin();
  for (int64_t row = 0; row < matrix.rows; ++row) {
    const float* values = matrix.Row(row);
    for (int64_t col = 0; col < matrix.cols;) {
      const int64_t first = row * matrix.cols;
      const int64_t stop =
          skip == chosen.end() ? matrix.cols : std::min(matrix.cols, *skip - first);
      for (; col < stop; ++col) visit(first + col, values[col]);
      if (col < matrix.cols) {
        ++col;
        ++skip;
      }
    }
  }
}

void AddPlaces(const Places& added, Places& chosen) {
  const auto middle = chosen.insert(chosen.end(), added.begin(), added.end());
  std::inplace_merge(chosen.begin(), middle, chosen.end());
}

// Adds the `count` places of largest magnitude among those left; of equal ones the first.
int64_t AddLargest(MatrixView<const float> matrix, int64_t count, Places& chosen) {
  const int64_t left = matrix.rows * matrix.cols - static_cast<int64_t>(chosen.size());
  count = std::min(count, left);
  if (count == 0) return 0;
  // Ranks run downwards, so that the rank among equals is how many of them come before the last.
  const Selected last = SelectKey(
      [&](const auto& visit) {
        ForEachLeft(matrix, chosen, [&](int64_t, float value) { visit(~MagnitudeKey(value)); });
      },
      count - 1);
  int64_t equals = last.rank_among_equals + 1;  // those that are still taken
  Places added;
  added.reserve(count);
  ForEachLeft(matrix, chosen, [&](int64_t place, float value) {
    const uint32_t key = ~MagnitudeKey(value);
    if (key < last.key || (key == last.key && equals-- > 0)) added.push_back(place);
  });
  AddPlaces(added, chosen);
  return count;
}

int64_t AddFromThreshold(MatrixView<const float> matrix, double threshold, Places& chosen) {
  Places added;
  ForEachLeft(matrix, chosen, [&](int64_t place, float value) {
    if (std::fabs(static_cast<double>(value)) >= threshold) added.push_back(place);
  });
  AddPlaces(added, chosen);
  return static_cast<int64_t>(added.size());
}

double Quantile(MatrixView<const float> matrix, double q) {
  const auto for_each_key = [&](const auto& visit) {
    ForEachLeft(matrix, {}, [&](int64_t, float value) { visit(OrderKey(value)); });
  };
  const double at = q * static_cast<double>(matrix.rows * matrix.cols - 1);
  const double below = std::floor(at);
  const auto value_at = [&](double rank) {
    return static_cast<double>(
        FromOrderKey(SelectKey(for_each_key, static_cast<int64_t>(rank)).key));
  };
  const double low = value_at(below), high = value_at(std::ceil(at));
  // numpy's way around: from the nearer end.
  const double part = at - below;
  return part < 0.5 ? low + (high - low) * part : high - (high - low) * (1 - part);
}

}  // namespace

OutlierOptions SparsityLevels(double percent) {
  constexpr double kSensitivePercent = 0.05;
  SQ_CHECK(percent >= 0 && percent <= 100, "expected a sparsity of 0 to 100 percent, found ",
           percent);
  OutlierOptions options;
  options.sensitive_fraction = std::min(percent, kSensitivePercent) / 100;
  options.outlier_fraction = std::max(0.0, percent - kSensitivePercent) / 100;
  return options;
}

int64_t OutlierCount(double fraction, int64_t count) {
  const double product = fraction * static_cast<double>(count) * (1 + 1e-15);
  return static_cast<int64_t>(std::floor(product));
}

double RangeThreshold(MatrixView<const float> weights, double range) {
  const double q1 = Quantile(weights, 0.25), q3 = Quantile(weights, 0.75);
  const double reach = range * (q3 - q1);
  return std::max(std::fabs(q1 - reach), std::fabs(q3 + reach));
}

OutlierPattern ChooseOutliers(MatrixView<const float> weights, FisherView fisher,
                              const OutlierOptions& options, const std::string& what) {
  const auto check_fraction = [&](double fraction, const char* name) {
    SQ_CHECK(fraction >= 0 && fraction <= 1, what, ": expected ", name, " in [0, 1], found ",
             fraction);
  };
  check_fraction(options.sensitive_fraction, "a sensitive fraction");
  check_fraction(options.outlier_fraction, "an outlier fraction");
  SQ_CHECK(std::isfinite(options.outlier_range) && options.outlier_range >= 0, what,
           ": expected an outlier range of 0 or more, found ", options.outlier_range);
  SQ_CHECK(options.outlier_range == 0 || options.outlier_fraction == 0, what,
           ": an outlier fraction and an outlier range exclude each other");

  const int64_t count = weights.rows * weights.cols;
  OutlierPattern pattern;
  pattern.row_ptr.assign(weights.rows + 1, 0);
  Places chosen;
  const int64_t sensitive = OutlierCount(options.sensitive_fraction, count);
  if (fisher.data != nullptr) {
    pattern.sensitive = AddLargest(fisher, sensitive, chosen);
  } else {
    for (int64_t place = 0; place < sensitive; ++place) chosen.push_back(place);
    pattern.sensitive = sensitive;
  }
  pattern.magnitude =
      options.outlier_range > 0
          ? AddFromThreshold(weights, RangeThreshold(weights, options.outlier_range), chosen)
          : AddLargest(weights, OutlierCount(options.outlier_fraction, count), chosen);

  SQ_CHECK(static_cast<int64_t>(chosen.size()) <= std::numeric_limits<int32_t>::max(), what, ": ",
           chosen.size(), " outliers, more than the format's row pointers can count");
  pattern.cols.reserve(chosen.size());
  for (const int64_t place : chosen) {
    ++pattern.row_ptr[place / weights.cols + 1];
    pattern.cols.push_back(static_cast<int32_t>(place % weights.cols));
  }
  for (int64_t row = 0; row < weights.rows; ++row) pattern.row_ptr[row + 1] += pattern.row_ptr[row];
  return pattern;
}

}  // namespace sq
