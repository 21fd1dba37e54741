// Sequences that go through a layer together.
#pragma once

#include <cstdint>
#include <vector>

namespace sq {

// `count` sequences of `length` tokens each, from sequence `first` on; their tokens are rows
// [begin, begin + count * length) of all sequences' tokens one after the other.
struct SequenceBatch {
  int64_t first, count, length, begin;
};

// Tokens of one forward on a device: enough to keep it busy, and few enough for the intermediate
// values of a wide model.
constexpr int64_t kDeviceTokens = 4096;

// Neighbours of one length together as long as they are at most `tokens` in all; a longer one is
// alone. With `tokens` 0 each is.
std::vector<SequenceBatch> BatchSequences(const std::vector<std::vector<int32_t>>& sequences,
                                          int64_t tokens);

}  // namespace sq
