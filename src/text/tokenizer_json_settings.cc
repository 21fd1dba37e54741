#include "sq/text/tokenizer_json_settings.h"

#include <nlohmann/json.hpp>

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr size_t kLargeVocabulary =
    100000;  // tokens; Mistral vocabularies without the pattern have fewer
constexpr const char* kSpaceSymbol = "\u2581";
// Mistral's split pattern, which transformers up to version 4.57 confused with that of LLaMA-3.
constexpr const char* kMistralPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

bool HasType(const Json& component, const char* type) {
  return component.is_object() && component.value("type", Json()) == type;
}

// As in the conversion of LLaMA's tokenizer from SentencePiece: spaces become symbols, and one is
// prepended to each text between special tokens (legacy) or only to the first.
void SetLlamaSpaces(bool add_prefix_space, bool legacy, Json* file) {
  const Json replace = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceSymbol}};
  Json normalizers = Json::array();
  if (add_prefix_space) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceSymbol}});
  normalizers.push_back(replace);
  const Json normalizer = {{"type", "Sequence"}, {"normalizers", normalizers}};
  const Json metaspace = {{"type", "Metaspace"},
                          {"replacement", kSpaceSymbol},
                          {"prepend_scheme", add_prefix_space ? "first" : "never"},
                          {"split", false}};
  (*file)["normalizer"] = legacy ? normalizer : Json();
  (*file)["pre_tokenizer"] = legacy ? Json() : metaspace;
  const auto step = [](const char* type) { return Json{{"type", type}}; };
  Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kSpaceSymbol}}}, {"content", " "}},
                   step("ByteFallback"),
                   step("Fuse")};
  if (add_prefix_space) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  (*file)["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
}

void FixMistralPattern(const Json& model, Json* pre_tokenizer) {
  const auto vocabulary = model.find("vocab");
  if (vocabulary == model.end() || vocabulary->size() <= kLargeVocabulary) return;
  if (!HasType(*pre_tokenizer, "Sequence")) return;
  const auto members = pre_tokenizer->find("pretokenizers");
  if (members == pre_tokenizer->end() || !members->is_array() || members->empty()) return;
  if (!HasType((*members)[0], "Split")) return;
  (*members)[0] = {{"type", "Split"},
                   {"pattern", {{"Regex", kMistralPattern}}},
                   {"behavior", "Isolated"},
                   {"invert", false}};
}

}  // namespace

void ApplySettings(const TokenizerConfig& config, Json* file) {
  if (!file->is_object()) return;
  const auto model = file->find("model");
  if (model == file->end() || !model->is_object()) return;
  const auto pre_tokenizer = file->find("pre_tokenizer");
  if (config.fix_mistral_regex && config.model_type == "mistral" && pre_tokenizer != file->end()) {
    FixMistralPattern(*model, &*pre_tokenizer);
  }
  if (!config.add_prefix_space) return;
  if (config.tokenizer_class == "LlamaTokenizer") {
    if (model->value("byte_fallback", Json()) == true) {
      SetLlamaSpaces(*config.add_prefix_space, config.legacy.value_or(true), file);
    }
  } else if (pre_tokenizer != file->end() && HasType(*pre_tokenizer, "ByteLevel")) {
    (*pre_tokenizer)["add_prefix_space"] = *config.add_prefix_space;
  }
}

}  // namespace sq
