#include "sq/checkpoint/config_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/problem_list.h"

namespace sq {
namespace {

using Json = nlohmann::json;

// Nothing is said by it, in Python's eyes as in ours.
bool SaysNothing(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || (value.is_structured() && value.empty());
}

// A value for a message: short, in one line.
std::string ValueText(const Json& value) {
  constexpr size_t kMaxBytes = 60;
  if (value.is_string()) return Quoted(value.get_ref<const std::string&>());
  if (value.is_structured()) return JsonTypeName(value);
  const std::string name = JsonTypeName(value);
  const bool not_finite = value.is_number_float() && name != "a fraction";
  const std::string text = not_finite ? name : value.dump();
  return text.size() <= kMaxBytes ? text : name;
}

bool IsTokenId(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= INT32_MAX;
  if (!value.is_number_integer()) return false;
  return value.get<int64_t>() >= -1 && value.get<int64_t>() <= INT32_MAX;
}

}  // namespace

ConfigFields::ConfigFields(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  SQ_CHECK(object.is_object(), where_, ": expected an object, found ", JsonTypeName(object));
}

const Json* ConfigFields::Find(const std::string& name) {
  read_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool ConfigFields::Has(const std::string& name) const { return object_.contains(name); }

void ConfigFields::MarkRead(std::initializer_list<const char*> names) {
  read_.insert(names.begin(), names.end());
}

int64_t ConfigFields::Int(const std::string& name, int64_t min, int64_t max,
                          std::optional<int64_t> fallback) {
  read_.insert(name);
  const int64_t value = JsonInt(object_, name, where_, fallback);
  SQ_CHECK(value >= min && value <= max, where_, ": ", Quoted(name), ": expected ", min, " to ",
           max, ", found ", value);
  return value;
}

double ConfigFields::PositiveDouble(const std::string& name, std::optional<double> fallback) {
  read_.insert(name);
  const double value = JsonDouble(object_, name, where_, fallback);
  SQ_CHECK(value > 0 && value < 1e30, where_, ": ", Quoted(name),
           ": expected a positive number, found ", value);
  return value;
}

std::string ConfigFields::String(const std::string& name,
                                 const std::optional<std::string>& fallback) {
  read_.insert(name);
  return JsonString(object_, name, where_, fallback);
}

bool ConfigFields::Bool(const std::string& name, bool fallback) {
  if (!Has(name)) return fallback;
  return Find(name) != nullptr && JsonBool(object_, name, where_);
}

std::vector<int> ConfigFields::TokenIds(const std::string& name) {
  const Json* value = Find(name);
  std::vector<int> ids;
  const auto add = [&](const Json& id) {
    SQ_CHECK(IsTokenId(id), where_, ": ", Quoted(name), ": expected token ids, found ",
             ValueText(id));
    if (id.get<int>() >= 0) ids.push_back(id.get<int>());
  };
  if (value != nullptr && value->is_array()) {
    for (const Json& id : *value) add(id);
  } else if (value != nullptr) {
    add(*value);
  }
  return ids;
}

void ConfigFields::Fixed(const std::string& name, const std::vector<Json>& values) {
  read_.insert(name);
  const auto found = object_.find(name);
  if (found == object_.end()) return;
  SQ_CHECK(std::find(values.begin(), values.end(), *found) != values.end(), where_, ": ",
           Quoted(name), ": not supported: expected ", values.front().dump(), ", found ",
           ValueText(*found));
}

void ConfigFields::CheckRest(const std::set<std::string>& harmless, const std::string& path) const {
  ProblemList problems;
  for (const auto& [name, value] : object_.items()) {
    if (read_.count(name) > 0 || harmless.count(name) > 0 || SaysNothing(value)) continue;
    problems.Add(StrCat(Quoted(name), ": not known, and may change what is computed: found ",
                        ValueText(value), "; --ignore-config-field ",
                        IsPrintable(name) ? path + name : "NAME", " passes it over"));
  }
  problems.Check(where_);
}

const std::set<std::string>& HarmlessFields() {
  static const std::set<std::string> fields = {
      // Origin and version. Code that a repository brings along (auto_map) is for those who trust
      // it; transformers by itself runs its own of the model_type, as is done here.
      "_name_or_path", "name_or_path", "_commit_hash", "architectures", "auto_map",
      "transformers_version", "tokenizer_class", "torch_dtype", "dtype",
      // How it runs: the same values by another way.
      "use_cache", "cache_implementation", "attn_implementation", "_attn_implementation",
      "_attn_implementation_autoset", "_flash_attn_2_enabled", "use_flash_attn",
      "chunk_size_feed_forward", "pretraining_tp", "torchscript", "use_bfloat16", "tf_legacy_loss",
      "gradient_checkpointing",
      // What a run returns beside logits.
      "output_attentions", "output_hidden_states", "output_scores", "return_dict",
      "return_dict_in_generate", "tie_last_hidden_states",
      // Training, dropout with it, and padding.
      "initializer_range", "init_std", "initializer_factor", "attention_dropout",
      "activation_dropout", "hidden_dropout", "hidden_dropout_prob", "dropout", "attn_dropout",
      "attn_pdrop", "resid_pdrop", "embd_pdrop", "layerdrop", "classifier_dropout",
      "neftune_noise_alpha", "max_sequence_length", "model_max_length", "pad_token_id",
      "unk_token_id", "sep_token_id", "mask_token_id", "decoder_start_token_id", "prefix",
      // Generation; the ids that end it are read.
      "max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams",
      "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "min_p", "typical_p",
      "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
      "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
      "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
      "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
      "epsilon_cutoff", "eta_cutoff", "generation_config",
      // Other tasks' heads: where there is one, its tensors tell.
      "id2label", "label2id", "num_labels", "problem_type", "task_specific_params",
      "finetuning_task", "is_decoder",
      // Marks of tools: Unsloth, Axolotl, MergeKit, Transformers.js, nanotron.
      "unsloth_version", "unsloth_fixed", "axolotl_version", "_mergekit_version",
      "transformers.js_config", "is_llama_config"};
  return fields;
}

void EraseField(Json* object, const std::string& name) {
  if (!object->is_object() || object->erase(name) > 0) return;
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return;
  const auto inner = object->find(name.substr(0, dot));
  if (inner != object->end()) EraseField(&*inner, name.substr(dot + 1));
}

}  // namespace sq
