// The strings and expected token ids of tests/golden/text.
#pragma once

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sq/base/json.h"
#include "sq/text/tokenizer.h"

namespace sq::test {

inline std::string GoldenText(const std::string& name) { return SQ_GOLDEN_DIR "/text/" + name; }

// texts.json: strings, or a string and how often it is repeated.
inline std::vector<std::string> GoldenTexts() {
  std::vector<std::string> texts;
  for (const nlohmann::json& item : ReadJsonFile(GoldenText("texts.json"))) {
    if (item.is_string()) {
      texts.push_back(item.get<std::string>());
      continue;
    }
    std::string& text = texts.emplace_back();
    for (int i = 0; i < item[1].get<int>(); ++i) text += item[0].get<std::string>();
  }
  return texts;
}

// 64-bit FNV-1a over the ids as little-endian int32, in hex.
inline std::string Fnv1a(const std::vector<int32_t>& ids) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ (static_cast<uint32_t>(id) >> shift & 0xff)) * 0x100000001b3u;
    }
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// As make_golden_tokenizers.py's digest(): the ids, or for long lists their count and hash.
inline nlohmann::json Digest(const std::vector<int32_t>& ids) {
  if (ids.size() <= 200) return ids;
  return {{"count", ids.size()}, {"fnv1a", Fnv1a(ids)}};
}

// fuzz.json: 2,000 random strings.
inline std::vector<std::string> FuzzTexts() { return ReadJsonFile(GoldenText("fuzz.json")); }

// Those of up to 400 characters.
inline std::vector<std::string> ShortGoldenTexts() {
  std::vector<std::string> texts;
  for (std::string& text : GoldenTexts()) {
    int64_t characters = 0;
    for (const char c : text) characters += (c & 0xc0) != 0x80;
    if (characters <= 400) texts.push_back(std::move(text));
  }
  return texts;
}

// As make_golden_tokenizers.py's summary(): count and hash of all ids, those of each text closed by
// 2^31 - 1.
inline nlohmann::json Summary(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<int32_t> all;
  for (const std::string& text : texts) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    all.insert(all.end(), ids.begin(), ids.end());
    all.push_back(0x7fffffff);
  }
  return {{"count", all.size()}, {"fnv1a", Fnv1a(all)}};
}

}  // namespace sq::test
