// Unigram: splits a word into the pieces with the largest sum of scores (SentencePiece's other
// model type, used by T5, ALBERT and XLM-R).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sq/text/word_model.h"

namespace sq {

struct UnigramOptions {
  std::vector<std::pair<std::string, double>>
      pieces;               // with their scores (log-probabilities), by id
  int32_t unknown_id = -1;  // -1: none
  // A character without a piece is encoded as the pieces of its UTF-8 bytes, "<0x00>" to "<0xFF>",
  // if all of these exist.
  bool byte_fallback = false;
};

class Unigram : public WordModel {
 public:
  // Throws sq::Error, beginning with `what`, for duplicate pieces, a score that is not finite, or
  // an unknown_id without a piece.
  Unigram(const UnigramOptions& options, const std::string& what);

  // `word` is valid UTF-8. A character that is not a piece scores less than any piece; a run of
  // such characters gives a single unknown_id. Of equally good splits the first one found is used,
  // as in Hugging Face. O(n k log v) for n bytes and v pieces of up to k bytes. Throws sq::Error
  // for an unknown character if there is no unknown_id.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Piece {
    std::string text;
    double score = 0;
    int32_t id = 0;
  };
  // The best split that ends at a position, by its last piece.
  struct Node {
    double score = 0;
    int64_t begin = -1;  // -1: not reached yet
    int32_t id = -1;
  };

  // The best splits of all prefixes of `word`.
  std::vector<Node> BestSplits(std::string_view word) const;
  // Appends the ids of the unknown characters `text`.
  void AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const;
  const Piece* Find(std::string_view text) const;

  std::vector<Piece> pieces_;  // by text
  int32_t unknown_id_;
  double unknown_score_ = 0;
  std::vector<int32_t> byte_ids_;  // empty without byte_fallback; -1: no piece
  std::string what_;
};

}  // namespace sq
