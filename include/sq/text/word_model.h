// The interface of models that encode a word as token ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sq {

// Immutable; Encode may be called from several threads at once.
class WordModel {
 public:
  virtual ~WordModel() = default;

  // Appends the ids of `word` to *ids; they do not depend on other words.
  virtual void Encode(std::string_view word, std::vector<int32_t>* ids) const = 0;
};

}  // namespace sq
