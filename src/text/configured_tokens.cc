#include "sq/text/configured_tokens.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "sq/base/error.h"

namespace sq {
namespace {

// The resulting tokens, with lookup by content.
class Adder {
 public:
  Adder(int64_t vocabulary_size, const FindId& find_id, const std::string& what, const char* source,
        std::vector<AddedToken>* tokens)
      : next_(vocabulary_size), find_id_(find_id), what_(what), source_(source), tokens_(*tokens) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      index_[tokens_[i].content] = i;
      next_ = std::max(next_, int64_t{tokens_[i].id} + 1);
    }
  }

  const AddedToken* Find(const std::string& content) const {
    const auto found = index_.find(content);
    return found == index_.end() ? nullptr : &tokens_[found->second];
  }

  // Adds a token, or updates the properties of the existing token with this content.
  void Put(AddedToken token) {
    const auto known = index_.find(token.content);
    if (known == index_.end()) {
      const std::optional<int32_t> found = find_id_(token.content);
      SetId(found ? int64_t{*found} : next_++, &token);
      index_.emplace(token.content, tokens_.size());
      tokens_.push_back(std::move(token));
      return;
    }
    AddedToken& old = tokens_[known->second];
    SetId(old.id, &token);
    token.special = token.special || old.special;  // once special, always special
    old = std::move(token);
  }

 private:
  void SetId(int64_t id, AddedToken* token) const {
    SQ_CHECK(token->id < 0 || token->id == id, what_, ": ", source_, ": added token ",
             Quoted(token->content), " has id ", token->id, ", expected ", id);
    SQ_CHECK(id <= std::numeric_limits<int32_t>::max(), what_, ": no id is left for the token ",
             Quoted(token->content));
    token->id = static_cast<int32_t>(id);
  }

  int64_t next_;  // free id
  const FindId& find_id_;
  const std::string& what_;
  const char* source_;  // the file that the ids come from
  std::vector<AddedToken>& tokens_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace

void AddConfiguredTokens(const TokenizerConfig& config, int64_t vocabulary_size,
                         const FindId& find_id, const std::string& what,
                         std::vector<AddedToken>* tokens) {
  const char* source =
      config.has_added_tokens_decoder ? "tokenizer_config.json" : "added_tokens.json";
  Adder adder(vocabulary_size, find_id, what, source, tokens);
  // The contents of added_tokens_decoder or, without one, of all added tokens.
  std::unordered_set<std::string> described;
  if (!config.has_added_tokens_decoder) {
    for (const AddedToken& token : *tokens) described.insert(token.content);
  }
  for (AddedToken token : config.added_tokens) {
    if (token.content.empty()) continue;
    described.insert(token.content);
    const AddedToken* old = adder.Find(token.content);
    if (old != nullptr && !config.has_added_tokens_decoder) {
      const int32_t id = token.id;
      token = *old;
      token.id = id;
    }
    adder.Put(std::move(token));
  }
  for (const NamedToken& named : config.special_tokens) {
    const AddedToken* old = adder.Find(named.token.content);
    // If added_tokens_decoder describes the token, being named only makes it special. Otherwise an
    // object sets its properties, and a plain string leaves them unchanged.
    const bool keeps =
        described.count(named.token.content) != 0 && !(named.is_object && named.is_listed);
    if (old == nullptr || (!keeps && named.is_object)) {
      adder.Put(named.token);
    } else if (keeps) {
      AddedToken token = *old;
      token.special = true;
      adder.Put(std::move(token));
    }
  }
  for (AddedToken& token : *tokens) token.hidden = config.split_special_tokens && token.special;
}

void AddConfiguredTokens(const TokenizerConfig& config, const std::string& what,
                         TokenizerParts* parts) {
  const auto find_id = [&](const std::string& content) {
    const auto found = parts->vocabulary.find(content);
    return found == parts->vocabulary.end() ? std::nullopt : std::optional<int32_t>(found->second);
  };
  AddConfiguredTokens(config, static_cast<int64_t>(parts->vocabulary.size()), find_id, what,
                      &parts->added_tokens);
}

}  // namespace sq
