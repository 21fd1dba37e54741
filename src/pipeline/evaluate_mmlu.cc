#include "sq/pipeline/evaluate_mmlu.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/process.h"
#include "sq/base/stopwatch.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/eval/mmlu.h"
#include "sq/eval/next_token.h"
#include "sq/pipeline/progress.h"

namespace sq {
namespace {

using Json = nlohmann::ordered_json;

// Questions of one subject that have as many examples before them, so that they begin alike.
struct QuestionGroup {
  size_t subject;
  std::vector<size_t> questions;
};

struct Count {
  int64_t questions = 0, correct = 0;

  void Add(const Count& other) {
    questions += other.questions;
    correct += other.correct;
  }
  void WriteTo(Json* json) const {
    const double n = static_cast<double>(questions), p = static_cast<double>(correct) / n;
    (*json)["questions"] = questions;
    (*json)["correct"] = correct;
    (*json)["accuracy"] = p;
    (*json)["standard_error"] = std::sqrt(p * (1 - p) / n);
  }
};

// The logits of A to D for each question: by subject, fp32 [questions, 4].
std::vector<at::Tensor> QuestionLogits(const Model& model, const Tokenizer& tokenizer,
                                       const std::vector<MmluSubject>& subjects,
                                       NextTokenOptions options) {
  std::vector<QuestionGroup> groups;
  std::vector<Prompts> prompts;
  int64_t cut = 0;
  for (size_t s = 0; s < subjects.size(); ++s) {
    MmluPrompts tokenized = TokenizeMmlu(subjects[s], tokenizer, model.config.max_positions);
    std::map<int64_t, size_t, std::greater<>> group_of;  // by examples
    for (size_t q = 0; q < tokenized.ids.size(); ++q) {
      const int64_t shots = tokenized.shots[q];
      cut += shots < static_cast<int64_t>(subjects[s].examples.size());
      const auto [group, is_new] = group_of.emplace(shots, groups.size());
      if (is_new) {
        groups.push_back({s, {}});
        prompts.emplace_back();
      }
      groups[group->second].questions.push_back(q);
      prompts[group->second].push_back(std::move(tokenized.ids[q]));
    }
  }
  if (cut > 0) {
    LogInfo(StrCat("MMLU: ", cut, " questions with fewer examples, to fit the model's context of ",
                   model.config.max_positions));
  }
  const auto answers = MmluAnswerTokens(tokenizer);
  std::optional<Progress> progress;
  options.progress = [&](int64_t done, int64_t layers) {
    if (!progress) progress.emplace("MMLU", "layer", layers);
    progress->Update(done);
    StopIfInterrupted();
  };
  const std::vector<at::Tensor> grouped =
      NextTokenLogits(model, prompts, {answers.begin(), answers.end()}, options);
  std::vector<at::Tensor> logits;
  for (const MmluSubject& subject : subjects) {
    logits.push_back(
        at::empty({static_cast<int64_t>(subject.test.size()), kMmluChoices}, at::kFloat));
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < groups[g].questions.size(); ++i) {
      logits[groups[g].subject][static_cast<int64_t>(groups[g].questions[i])].copy_(
          grouped[g][static_cast<int64_t>(i)]);
    }
  }
  return logits;
}

// The choice of the largest logit, the first of equal ones.
std::string Answers(const at::Tensor& logits) {
  const float* values = logits.const_data_ptr<float>();
  std::string answers;
  for (int64_t q = 0; q < logits.size(0); ++q, values += kMmluChoices) {
    answers += static_cast<char>('A' + (std::max_element(values, values + kMmluChoices) - values));
  }
  return answers;
}

void WriteLogits(const std::string& path, const std::vector<MmluSubject>& subjects,
                 const std::vector<at::Tensor>& logits) {
  std::vector<TensorView> tensors;
  for (size_t s = 0; s < subjects.size(); ++s) {
    tensors.push_back({"mmlu." + subjects[s].name, DType::kF32, logits[s].sizes().vec(),
                       logits[s].const_data_ptr(), static_cast<int64_t>(logits[s].nbytes())});
  }
  SafetensorsWriter writer(path, tensors, {{"format", "pt"}});
  for (const TensorView& tensor : tensors) writer.Append(tensor);
  writer.Commit();
}

}  // namespace

Json EvaluateMmlu(const Model& model, const Tokenizer& tokenizer,
                  const std::vector<MmluSubject>& subjects, const MmluOptions& options,
                  int64_t max_memory, const Device& device, bool bfloat16) {
  const Stopwatch watch;
  NextTokenOptions next_token;
  next_token.device = device;
  next_token.bfloat16 = bfloat16;
  next_token.max_bytes = max_memory > 0 ? max_memory : std::max<int64_t>(FreeBytes(device) / 2, 1);
  std::vector<at::Tensor> logits;
  WithMemoryAdvice("a smaller --max-memory would need less",
                   [&] { logits = QuestionLogits(model, tokenizer, subjects, next_token); });
  Count all;
  std::map<std::string, Count> by_category;
  Json subject_list = Json::array();
  for (size_t s = 0; s < subjects.size(); ++s) {
    const MmluSubject& subject = subjects[s];
    SQ_CHECK(logits[s].isfinite().all().item<bool>(), model.folder, ": MMLU subject ", subject.name,
             ": a logit is not finite");
    const std::string answers = Answers(logits[s]);
    Count count{static_cast<int64_t>(subject.test.size()), 0};
    for (size_t q = 0; q < subject.test.size(); ++q) {
      count.correct += answers[q] == 'A' + subject.test[q].answer;
    }
    const std::string category = MmluCategory(subject.name);
    Json entry = {{"subject", subject.name},
                  {"category", category.empty() ? Json(nullptr) : Json(category)}};
    count.WriteTo(&entry);
    entry["answers"] = answers;
    subject_list.push_back(entry);
    all.Add(count);
    if (!category.empty()) by_category[category].Add(count);
  }
  Json categories = Json::array();
  for (const auto& [category, count] : by_category) {
    Json entry = {{"category", category}};
    count.WriteTo(&entry);
    categories.push_back(entry);
  }
  if (!options.logits.empty()) WriteLogits(options.logits, subjects, logits);
  Json mmlu = {{"shots", options.shots}};
  all.WriteTo(&mmlu);
  mmlu["categories"] = categories;
  mmlu["subjects"] = subject_list;
  mmlu["seconds"] = watch.Seconds();
  return mmlu;
}

std::string MmluText(const Json& mmlu) {
  std::string text = "MMLU, " + std::to_string(mmlu["shots"].get<int64_t>()) + " shots, " +
                     SecondsText(mmlu["seconds"].get<double>()) + "\n";
  const auto line = [&](const std::string& name, const Json& entry) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "  %-36s %6.2f %% +- %5.2f  %5lld of %lld\n", name.c_str(),
                  100 * entry["accuracy"].get<double>(),
                  100 * entry["standard_error"].get<double>(), entry["correct"].get<long long>(),
                  entry["questions"].get<long long>());
    text += buffer;
  };
  for (const Json& entry : mmlu["subjects"]) line(entry["subject"], entry);
  for (const Json& entry : mmlu["categories"]) line(entry["category"], entry);
  line("all", mmlu);
  return text;
}

}  // namespace sq
