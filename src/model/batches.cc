#include "sq/model/batches.h"

#include <cstddef>

namespace sq {

std::vector<SequenceBatch> BatchSequences(const std::vector<std::vector<int32_t>>& sequences,
                                          int64_t tokens) {
  std::vector<SequenceBatch> batches;
  int64_t begin = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const int64_t length = static_cast<int64_t>(sequences[s].size());
    if (!batches.empty() && batches.back().length == length &&
        (batches.back().count + 1) * length <= tokens) {
      ++batches.back().count;
    } else {
      batches.push_back({static_cast<int64_t>(s), 1, length, begin});
    }
    begin += length;
  }
  return batches;
}

}  // namespace sq
