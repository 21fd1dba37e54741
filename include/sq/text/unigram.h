// Unigram: the way to cut a word into pieces whose scores have the largest sum (SentencePiece's
// other kind of model, of T5, ALBERT and XLM-R).
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
  // A character without a piece becomes the pieces of its UTF-8 bytes, "<0x00>" to "<0xFF>", where
  // all of those exist.
  bool byte_fallback = false;
};

class Unigram : public WordModel {
 public:
  // Throws sq::Error, opening with `what`, when a piece stands twice, a score is no finite number
  // or unknown_id has no piece.
  Unigram(const UnigramOptions& options, const std::string& what);

  // `word` is valid UTF-8. A character that is no piece scores less than any; a run of such becomes
  // one unknown_id. Of equal ways the one found first counts, as in Hugging Face's. O(n k log v)
  // for n bytes, pieces of up to k bytes and v of them. Throws sq::Error for an unknown character
  // when there is no unknown_id.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Piece {
    std::string text;
    double score = 0;
    int32_t id = 0;
  };
  // The end of a best way: where its last piece begins.
  struct Node {
    double score = 0;
    int64_t begin = -1;  // -1: not reached yet
    int32_t id = -1;
  };

  // The best ways to all ends within `word`.
  std::vector<Node> BestWays(std::string_view word) const;
  // Appends the ids of the unknown characters `text`.
  void AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const;
  const Piece* Find(std::string_view text) const;

  std::vector<Piece> pieces_;  // by text
  int32_t unknown_id_;
  double unknown_score_ = 0;
  std::vector<int32_t> byte_ids_;  // empty unless characters fall back to bytes; -1: no piece
  std::string what_;
};

}  // namespace sq
