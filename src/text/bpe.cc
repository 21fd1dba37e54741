#include "sq/text/bpe.h"

#include <algorithm>

#include "sq/base/error.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// Printable Latin-1 without the space-like U+00A0 and U+00AD.
bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct ByteTable {
  std::array<char32_t, 256> characters;
  std::array<int, 0x180> bytes;  // -1: represents no byte
};

const ByteTable& Table() {
  static const ByteTable table = [] {
    ByteTable made;
    made.bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      made.characters[byte] = StandsForItself(byte) ? static_cast<char32_t>(byte) : next++;
      made.bytes[made.characters[byte]] = byte;
    }
    return made;
  }();
  return table;
}

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

uint64_t Key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A symbol of the word being merged, in a doubly linked list; `id` is -1 once it has been merged
// into another symbol.
struct Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;
};

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  int32_t id;        // of the result

  bool operator<(const Candidate& other) const {  // the top of a heap is the largest
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

char32_t ByteLevelCharacter(unsigned char byte) { return Table().characters[byte]; }

std::string SpellBytes(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size());
  for (const char c : bytes) AppendUtf8(ByteLevelCharacter(static_cast<unsigned char>(c)), &token);
  return token;
}

bool SpellsBytes(std::string_view token, std::string* bytes) {
  const size_t size = bytes->size();
  while (!token.empty()) {
    char32_t c;
    token.remove_prefix(DecodeUtf8(token, &c));
    const int byte = c < Table().bytes.size() ? Table().bytes[c] : -1;
    if (byte < 0) {
      bytes->resize(size);
      return false;
    }
    bytes->push_back(static_cast<char>(byte));
  }
  return true;
}

void AppendByteLevelBytes(std::string_view token, std::string* out) {
  if (!SpellsBytes(token, out)) out->append(token);
}

Bpe::Bpe(const Vocabulary& vocabulary,
         const std::vector<std::pair<std::string, std::string>>& merges, const BpeOptions& options,
         const std::string& what)
    : options_(options) {
  const bool of_bytes = options_.symbols == BpeSymbols::kBytes;
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    if (of_bytes) {
      AppendUtf8(ByteLevelCharacter(static_cast<unsigned char>(byte)), &spelling);
    } else {
      spelling = StrCat("<0x", kHexDigits[byte >> 4], kHexDigits[byte & 15], ">");
    }
    const auto found = vocabulary.find(spelling);
    byte_ids_[byte] = found == vocabulary.end() ? -1 : found->second;
  }
  if (!of_bytes) {
    for (const auto& [token, id] : vocabulary) {
      if (token.empty()) continue;
      char32_t c;
      if (DecodeUtf8(token, &c) == static_cast<int>(token.size())) characters_.emplace(c, id);
    }
  }
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string& left = merges[rank].first;
    const std::string& right = merges[rank].second;
    const auto id = [&](const std::string& token) {
      const auto found = vocabulary.find(token);
      SQ_CHECK(found != vocabulary.end(), what, ": merge ", rank, " (", Quoted(left), ", ",
               Quoted(right), "): token ", Quoted(token), " is not in the vocabulary");
      return found->second;
    };
    const uint64_t key = Key(id(left), id(right));
    // Of equal merges the last is used, as in Hugging Face.
    const int32_t result = id(left + right);
    merges_[key] = {options_.rank_by_id ? result : static_cast<int32_t>(rank), result};
  }
  if (!options_.ignore_merges) return;
  words_.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary) {
    std::string bytes;
    if (!of_bytes) {
      words_.emplace(token, id);
    } else if (SpellsBytes(token, &bytes)) {
      words_.emplace(std::move(bytes), id);
    }
  }
}

const Bpe::Merge* Bpe::Find(int32_t left, int32_t right) const {
  const auto found = merges_.find(Key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

bool Bpe::AppendByteTokens(std::string_view character, std::vector<int32_t>* ids) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  const auto is_missing = [&](char c) { return id_of(c) < 0; };
  if (std::any_of(character.begin(), character.end(), is_missing)) return false;
  for (const char c : character) ids->push_back(id_of(c));
  return true;
}

std::vector<int32_t> Bpe::Symbols(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  // Unknown symbols are emitted before the next known one (byte tokens do not count as known), in
  // the order of Hugging Face.
  int64_t waiting = 0;
  const auto flush = [&] {
    ids.insert(ids.end(), waiting, options_.unknown_id);
    waiting = 0;
  };
  const auto add = [&](int32_t id) {
    flush();
    ids.push_back(id);
  };
  const auto add_unknown = [&] {
    if (options_.unknown_id < 0) return;
    if (!options_.fuse_unknown) flush();
    waiting = 1;
  };
  if (options_.symbols == BpeSymbols::kBytes) {
    for (const char c : word) {
      const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      id >= 0 ? add(id) : add_unknown();
    }
  } else {
    while (!word.empty()) {
      char32_t c;
      const std::string_view character = word.substr(0, DecodeUtf8(word, &c));
      word.remove_prefix(character.size());
      const auto found = characters_.find(c);
      if (found != characters_.end()) {
        add(found->second);
      } else if (!options_.byte_fallback || !AppendByteTokens(character, &ids)) {
        add_unknown();
      }
    }
  }
  flush();
  return ids;
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (options_.ignore_merges) {
    const auto found = words_.find(std::string(word));
    if (found != words_.end()) return ids->push_back(found->second);
  }
  std::vector<Symbol> symbols;
  for (const int32_t id : Symbols(word)) {
    const auto at = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  std::vector<Candidate> heap;
  heap.reserve(symbols.size());
  const auto consider = [&](int32_t left) {
    const int32_t right = symbols[left].next;
    const Merge* merge = Find(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return;
    heap.push_back({merge->rank, left, merge->id});
    std::push_heap(heap.begin(), heap.end());
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols.size()); ++i) consider(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[top.position];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    // The pair may have changed since it was queued. Hugging Face compares the results, not the
    // pairs, so that another pair with the same result is merged at the rank of the first.
    const Merge* merge = Find(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    left.id = top.id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) {
      symbols[left.next].previous = top.position;
      consider(top.position);
    }
    if (left.previous >= 0) consider(left.previous);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace sq
