#include "sq/text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sq/base/error.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// Difference between the lowest score of a piece and that of an unknown character (kUnkPenalty of
// SentencePiece).
constexpr double kUnknownPenalty = 10;

std::string ByteSpelling(int byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return StrCat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">");
}

}  // namespace

Unigram::Unigram(const UnigramOptions& options, const std::string& what)
    : unknown_id_(options.unknown_id), what_(what) {
  const auto size = static_cast<int64_t>(options.pieces.size());
  SQ_CHECK(unknown_id_ < size, what, ": \"unk_id\": expected an id below ", size, ", found ",
           unknown_id_);
  double worst = std::numeric_limits<double>::infinity();
  pieces_.reserve(options.pieces.size());
  for (const auto& [text, score] : options.pieces) {
    SQ_CHECK(std::isfinite(score), what, ": piece ", Quoted(text), ": expected a score, found ",
             score);
    worst = std::min(worst, score);
    pieces_.push_back({text, score, static_cast<int32_t>(pieces_.size())});
  }
  unknown_score_ = worst - kUnknownPenalty;
  const auto by_text = [](const Piece& a, const Piece& b) { return a.text < b.text; };
  std::sort(pieces_.begin(), pieces_.end(), by_text);
  const auto same =
      std::adjacent_find(pieces_.begin(), pieces_.end(),
                         [](const Piece& a, const Piece& b) { return a.text == b.text; });
  SQ_CHECK(same == pieces_.end(), what, ": piece ", Quoted(same->text), " is a duplicate");
  if (!options.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte) {
    const Piece* piece = Find(ByteSpelling(byte));
    byte_ids_.push_back(piece == nullptr ? -1 : piece->id);
  }
}

const Unigram::Piece* Unigram::Find(std::string_view text) const {
  const auto found =
      std::lower_bound(pieces_.begin(), pieces_.end(), text,
                       [](const Piece& piece, std::string_view b) { return piece.text < b; });
  return found != pieces_.end() && found->text == text ? &*found : nullptr;
}

std::vector<Unigram::Node> Unigram::BestSplits(std::string_view word) const {
  std::vector<Node> nodes(word.size() + 1);
  const auto offer = [&](size_t begin, size_t length, double score, int32_t id) {
    Node& node = nodes[begin + length];
    score += nodes[begin].score;
    if (node.begin < 0 || score > node.score) node = {score, static_cast<int64_t>(begin), id};
  };
  for (size_t begin = 0; begin < word.size();) {
    char32_t c;
    const auto first_length = static_cast<size_t>(DecodeUtf8(word.substr(begin), &c));
    bool has_piece = false;  // consisting of the first character only
    // Pieces are sorted: those with the same prefix are contiguous.
    auto low = pieces_.begin();
    auto high = pieces_.end();
    for (size_t length = 0; begin + length < word.size() && low != high; ++length) {
      const auto byte = static_cast<unsigned char>(word[begin + length]);
      const auto at = [&](const Piece& piece) {  // -1: the piece ends here
        return length < piece.text.size() ? static_cast<unsigned char>(piece.text[length]) : -1;
      };
      low = std::lower_bound(low, high, byte, [&](const Piece& p, int b) { return at(p) < b; });
      high = std::upper_bound(low, high, byte, [&](int b, const Piece& p) { return b < at(p); });
      if (low == high || low->text.size() != length + 1) continue;
      offer(begin, length + 1, low->score, low->id);
      has_piece = has_piece || length + 1 == first_length;
    }
    if (!has_piece) offer(begin, first_length, unknown_score_, unknown_id_);
    begin += first_length;
  }
  return nodes;
}

void Unigram::AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const {
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (!byte_ids_.empty() &&
      std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : text) ids->push_back(byte_id(c));
    return;
  }
  SQ_CHECK(unknown_id_ >= 0, what_, ": no piece for ", Quoted(text), " and no \"unk_id\"");
  ids->push_back(unknown_id_);
}

void Unigram::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  const std::vector<Node> nodes = BestSplits(word);
  std::vector<size_t> ends;
  for (auto end = static_cast<int64_t>(word.size()); end > 0; end = nodes[end].begin) {
    ends.push_back(static_cast<size_t>(end));
  }
  size_t unknown_begin = 0;
  size_t done = 0;
  const auto flush = [&] {
    if (unknown_begin < done) {
      // A run of unknown characters may itself be a piece.
      const std::string_view run = word.substr(unknown_begin, done - unknown_begin);
      const Piece* piece = Find(run);
      piece != nullptr ? ids->push_back(piece->id) : AppendUnknown(run, ids);
    }
  };
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const int32_t id = nodes[*end].id;
    const bool is_unknown = id == unknown_id_;
    if (!is_unknown) {
      flush();
      ids->push_back(id);
      unknown_begin = *end;
    }
    done = *end;
  }
  flush();
}

}  // namespace sq
