#include "sq/text/configured_tokens.h"

#include <algorithm>

#include "sq/base/error.h"

namespace sq {
namespace {

bool HasContent(const std::vector<AddedToken>& tokens, const std::string& content) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

bool SameProperties(const AddedToken& a, const AddedToken& b) {
  return a.special == b.special && a.single_word == b.single_word && a.strip_left == b.strip_left &&
         a.strip_right == b.strip_right && a.normalized == b.normalized;
}

}  // namespace

void AddConfiguredTokens(const TokenizerConfig& config, int64_t vocabulary_size,
                         const FindId& find_id, const std::string& what,
                         std::vector<AddedToken>* tokens) {
  std::unordered_map<std::string, size_t> known;  // content -> index in *tokens
  auto next = static_cast<int32_t>(vocabulary_size);
  for (size_t i = 0; i < tokens->size(); ++i) {
    known[(*tokens)[i].content] = i;
    next = std::max(next, (*tokens)[i].id + 1);
  }
  const auto add = [&](AddedToken token) {
    const auto same = known.find(token.content);
    const std::optional<int32_t> found =
        same != known.end() ? (*tokens)[same->second].id : find_id(token.content);
    const int32_t id = found ? *found : next++;
    SQ_CHECK(token.id < 0 || token.id == id, what, ": added token ", Quoted(token.content),
             " has id ", token.id, ", expected ", id);
    token.id = id;
    if (same == known.end()) {
      known.emplace(token.content, tokens->size());
      tokens->push_back(std::move(token));
      return;
    }
    AddedToken& old = (*tokens)[same->second];
    if (!config.has_added_tokens_decoder || SameProperties(old, token)) return;
    token.special = token.special || old.special;  // once special, always special
    old = std::move(token);
  };
  for (AddedToken token : config.added_tokens) {
    if (token.content.empty()) continue;
    const auto old = known.find(token.content);
    const bool is_same = old != known.end() && SameProperties((*tokens)[old->second], token);
    if (!is_same && HasContent(config.special_tokens, token.content)) token.special = true;
    add(std::move(token));
  }
  for (const AddedToken& token : config.special_tokens) {
    if (known.count(token.content) == 0) add(token);
  }
  for (AddedToken& token : *tokens) token.hidden = config.split_special_tokens && token.special;
}

void AddConfiguredTokens(const TokenizerConfig& config, const std::string& what, BpeParts* parts) {
  const auto find_id = [&](const std::string& content) {
    const auto found = parts->vocabulary.find(content);
    return found == parts->vocabulary.end() ? std::nullopt : std::optional<int32_t>(found->second);
  };
  AddConfiguredTokens(config, static_cast<int64_t>(parts->vocabulary.size()), find_id, what,
                      &parts->added_tokens);
}

}  // namespace sq
