// What turns a word into token ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sq {

// Immutable; Encode may be called from several threads at once.
class WordModel {
 public:
  virtual ~WordModel() = default;

  // Appends the ids of `word`, which no other word has an effect on, to *ids.
  virtual void Encode(std::string_view word, std::vector<int32_t>* ids) const = 0;
};

}  // namespace sq
