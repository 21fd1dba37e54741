#include "sq/quant/outliers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include "sq/base/error.h"
#include "sq/base/float_bits.h"
#include "sq/base/integer_math.h"
#include "sq/base/parallel.h"

namespace sq {
namespace {

// Positions in row-major order.
using Positions = std::vector<int64_t>;

// Keys are unsigned integers in the order of the magnitudes, or of the values, that they encode.
uint32_t MagnitudeKey(float value) { return BitsOf(value) & 0x7fffffffu; }

uint32_t ValueKey(float value) {
  const uint32_t bits = BitsOf(value + 0.0f);  // -0 becomes +0
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}

float ValueOf(uint32_t key) {
  return FloatOf(key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}

// Runs of rows with about 64K weights, the work of one loop item.
int64_t RowsPerRun(MatrixView<const float> matrix) {
  return std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, matrix.cols));
}

int64_t RunCount(MatrixView<const float> matrix) {
  return CeilDivide(matrix.rows, RowsPerRun(matrix));
}

// Calls visit(position, value) for each position of a run that is not in `chosen`, in order.
template <typename Visit>
void ForEachNotChosen(MatrixView<const float> matrix, int64_t run, const Positions& chosen,
                      const Visit& visit) {
  const int64_t first_row = run * RowsPerRun(matrix);
  const int64_t end_row = std::min(matrix.rows, first_row + RowsPerRun(matrix));
  auto skip = std::lower_bound(chosen.begin(), chosen.end(), first_row * matrix.cols);
  for (int64_t row = first_row; row < end_row; ++row) {
    const float* values = matrix.Row(row);
    const int64_t first = row * matrix.cols;
    for (int64_t col = 0; col < matrix.cols; ++col) {
      const int64_t stop =
          skip == chosen.end() ? matrix.cols : std::min(matrix.cols, *skip - first);
      for (; col < stop; ++col) visit(first + col, values[col]);
      if (col < matrix.cols) ++skip;
    }
  }
}

// Buckets are the upper 12 bits of a key. For magnitudes these are the exponent and four bits of
// the mantissa, so that a bucket holds at most a few percent of the keys, unless many are equal.
constexpr int kBucketShift = 20;
using Buckets = std::array<int64_t, 1 << (32 - kBucketShift)>;

template <typename KeyOf>
Buckets CountKeys(MatrixView<const float> matrix, const Positions& chosen, const KeyOf& key_of) {
  Buckets sum{};
  std::mutex mutex;
  ParallelFor(RunCount(matrix), [&](int64_t run) {
    Buckets counts{};
    ForEachNotChosen(matrix, run, chosen,
                     [&](int64_t, float value) { ++counts[key_of(value) >> kBucketShift]; });
    const std::lock_guard<std::mutex> lock(mutex);
    for (size_t b = 0; b < sum.size(); ++b) sum[b] += counts[b];
  });
  return sum;
}

// All positions that are not chosen and whose value passes, in order.
template <typename Passes>
Positions Collect(MatrixView<const float> matrix, const Positions& chosen, const Passes& passes) {
  std::vector<Positions> found(RunCount(matrix));
  ParallelFor(RunCount(matrix), [&](int64_t run) {
    ForEachNotChosen(matrix, run, chosen, [&](int64_t position, float value) {
      if (passes(value)) found[run].push_back(position);
    });
  });
  Positions all;
  for (const Positions& part : found) all.insert(all.end(), part.begin(), part.end());
  return all;
}

float At(MatrixView<const float> matrix, int64_t position) {
  return matrix.Row(position / matrix.cols)[position % matrix.cols];
}

void AddPositions(const Positions& added, Positions* chosen) {
  const auto middle = chosen->insert(chosen->end(), added.begin(), added.end());
  std::inplace_merge(chosen->begin(), middle, chosen->end());
}

// Adds the `count` largest magnitudes that are not chosen yet, or all if there are fewer; of equal
// ones the first. Returns how many were added.
int64_t AddLargest(MatrixView<const float> matrix, int64_t count, Positions* chosen) {
  const int64_t left = matrix.rows * matrix.cols - static_cast<int64_t>(chosen->size());
  count = std::min(count, left);
  if (count == 0) return 0;
  const auto key_of = [](float value) { return MagnitudeKey(value); };
  const Buckets buckets = CountKeys(matrix, *chosen, key_of);
  uint32_t last = static_cast<uint32_t>(buckets.size()) - 1;  // the lowest bucket needed
  for (int64_t above = 0; above + buckets[last] < count; --last) above += buckets[last];
  Positions added = Collect(
      matrix, *chosen, [&](float value) { return MagnitudeKey(value) >> kBucketShift >= last; });
  // The last bucket may hold too many: drop the smallest.
  const auto larger = [&](int64_t a, int64_t b) {
    const uint32_t key_a = MagnitudeKey(At(matrix, a)), key_b = MagnitudeKey(At(matrix, b));
    return key_a != key_b ? key_a > key_b : a < b;
  };
  std::nth_element(added.begin(), added.begin() + count - 1, added.end(), larger);
  added.resize(count);
  std::sort(added.begin(), added.end());
  AddPositions(added, chosen);
  return count;
}

int64_t AddFromThreshold(MatrixView<const float> matrix, double threshold, Positions* chosen) {
  const Positions added = Collect(matrix, *chosen, [&](float value) {
    return std::fabs(static_cast<double>(value)) >= threshold;
  });
  AddPositions(added, chosen);
  return static_cast<int64_t>(added.size());
}

// The value of the given rank; rank 0 is the smallest.
double ValueAtRank(MatrixView<const float> matrix, const Buckets& buckets, int64_t rank) {
  uint32_t bucket = 0;
  while (rank >= buckets[bucket]) rank -= buckets[bucket++];
  const Positions positions =
      Collect(matrix, {}, [&](float value) { return ValueKey(value) >> kBucketShift == bucket; });
  std::vector<uint32_t> keys(positions.size());
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = ValueKey(At(matrix, positions[i]));
  std::nth_element(keys.begin(), keys.begin() + rank, keys.end());
  return ValueOf(keys[rank]);
}

double Quantile(MatrixView<const float> matrix, const Buckets& buckets, double q) {
  const double at = q * static_cast<double>(matrix.rows * matrix.cols - 1);
  const double below = std::floor(at), part = at - below;
  const double low = ValueAtRank(matrix, buckets, static_cast<int64_t>(below));
  const double high = ValueAtRank(matrix, buckets, static_cast<int64_t>(std::ceil(at)));
  // As in numpy, interpolated from the nearer end.
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
  const auto key_of = [](float value) {
    return ValueKey(value);
  };  // a lambda is inlined, a function pointer is not
  const Buckets buckets = CountKeys(weights, {}, key_of);
  const double q1 = Quantile(weights, buckets, 0.25), q3 = Quantile(weights, buckets, 0.75);
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
  Positions chosen;
  const int64_t sensitive = OutlierCount(options.sensitive_fraction, count);
  if (fisher.data != nullptr) {
    pattern.sensitive = AddLargest(fisher, sensitive, &chosen);
  } else {
    for (int64_t position = 0; position < sensitive; ++position) chosen.push_back(position);
    pattern.sensitive = sensitive;
  }
  pattern.magnitude =
      options.outlier_range > 0
          ? AddFromThreshold(weights, RangeThreshold(weights, options.outlier_range), &chosen)
          : AddLargest(weights, OutlierCount(options.outlier_fraction, count), &chosen);

  SQ_CHECK(static_cast<int64_t>(chosen.size()) <= std::numeric_limits<int32_t>::max(), what, ": ",
           chosen.size(), " outliers, more than the format's row pointers can count");
  pattern.cols.reserve(chosen.size());
  for (const int64_t position : chosen) {
    ++pattern.row_ptr[position / weights.cols + 1];
    pattern.cols.push_back(static_cast<int32_t>(position % weights.cols));
  }
  for (int64_t row = 0; row < weights.rows; ++row) pattern.row_ptr[row + 1] += pattern.row_ptr[row];
  return pattern;
}

}  // namespace sq
