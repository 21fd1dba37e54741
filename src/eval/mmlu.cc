#include "sq/eval/mmlu.h"

#include <algorithm>
#include <map>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/parallel.h"
#include "sq/text/csv.h"

namespace sq {
namespace {

constexpr char kLetters[] = "ABCD";
constexpr char kTestSuffix[] = "_test.csv";
constexpr size_t kColumns = kMmluChoices + 2;

MmluQuestion ParseQuestion(const CsvRow& row, const std::string& where) {
  SQ_CHECK(row.fields.size() == kColumns, where, ": expected ", kColumns,
           " columns (question, four choices, answer), found ", row.fields.size());
  MmluQuestion question;
  question.question = row.fields[0];
  std::copy_n(row.fields.begin() + 1, kMmluChoices, question.choices.begin());
  const std::string& answer = row.fields.back();
  const auto* letter = std::find(kLetters, kLetters + kMmluChoices, answer[0]);
  SQ_CHECK(answer.size() == 1 && letter != kLetters + kMmluChoices, where,
           ": expected A, B, C or D as the answer, found \"", answer, '"');
  question.answer = static_cast<int>(letter - kLetters);
  return question;
}

// The first `count` questions of a file, or all of them when it is negative.
std::vector<MmluQuestion> ReadQuestions(const std::string& path, int64_t count) {
  const std::vector<CsvRow> rows = ReadCsv(path);
  const int64_t found = static_cast<int64_t>(rows.size());
  SQ_CHECK(found > 0 || count == 0, path, ": no questions");
  SQ_CHECK(count <= found, path, ": expected at least ", count, " rows for as many shots, found ",
           found);
  std::vector<MmluQuestion> questions;
  for (int64_t i = 0; i < (count < 0 ? found : count); ++i) {
    const CsvRow& row = rows[static_cast<size_t>(i)];
    questions.push_back(
        ParseQuestion(row, StrCat(path, ": row ", i + 1, " (line ", row.line, ")")));
  }
  return questions;
}

std::string Example(const MmluQuestion& question) {
  std::string text = question.question;
  for (int i = 0; i < kMmluChoices; ++i) {
    text += StrCat("\n", kLetters[i], ". ", question.choices[static_cast<size_t>(i)]);
  }
  return text + "\nAnswer:";
}

}  // namespace

std::vector<MmluSubject> ReadMmlu(const std::string& folder, const std::vector<std::string>& wanted,
                                  int64_t shots) {
  const std::string test = folder + "/test", dev = folder + "/dev";
  SQ_CHECK(IsFolder(test), folder, ": expected a folder with test/<subject>", kTestSuffix,
           " and dev/<subject>_dev.csv");
  std::set<std::string> names;
  for (const std::string& file : FolderNames(test)) {
    const size_t suffix = file.rfind(kTestSuffix);
    if (suffix != std::string::npos && suffix + sizeof kTestSuffix - 1 == file.size()) {
      names.insert(file.substr(0, suffix));
    }
  }
  SQ_CHECK(!names.empty(), test, ": no file <subject>", kTestSuffix);
  for (const std::string& name : wanted) {
    SQ_CHECK(names.count(name) > 0, test, ": no file ", name, kTestSuffix, " for the subject ",
             name);
  }
  if (!wanted.empty()) names = {wanted.begin(), wanted.end()};
  std::vector<MmluSubject> subjects;
  for (const std::string& name : names) {
    subjects.push_back({name,
                        shots > 0 ? ReadQuestions(StrCat(dev, "/", name, "_dev.csv"), shots)
                                  : std::vector<MmluQuestion>(),
                        ReadQuestions(StrCat(test, "/", name, kTestSuffix), -1)});
  }
  return subjects;
}

std::string MmluCategory(const std::string& subject) {
  static const std::map<std::string, std::vector<const char*>> kSubjects = {
      {"STEM",
       {"abstract_algebra", "astronomy", "college_biology", "college_chemistry",
        "college_computer_science", "college_mathematics", "college_physics", "computer_security",
        "conceptual_physics", "electrical_engineering", "elementary_mathematics",
        "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics",
        "machine_learning"}},
      {"humanities",
       {"formal_logic", "high_school_european_history", "high_school_us_history",
        "high_school_world_history", "international_law", "jurisprudence", "logical_fallacies",
        "moral_disputes", "moral_scenarios", "philosophy", "prehistory", "professional_law",
        "world_religions"}},
      {"social sciences",
       {"econometrics", "high_school_geography", "high_school_government_and_politics",
        "high_school_macroeconomics", "high_school_microeconomics", "high_school_psychology",
        "human_sexuality", "professional_psychology", "public_relations", "security_studies",
        "sociology", "us_foreign_policy"}},
      {"other",
       {"anatomy", "business_ethics", "clinical_knowledge", "college_medicine", "global_facts",
        "human_aging", "management", "marketing", "medical_genetics", "miscellaneous", "nutrition",
        "professional_accounting", "professional_medicine", "virology"}}};
  for (const auto& [category, subjects] : kSubjects) {
    if (std::find(subjects.begin(), subjects.end(), subject) != subjects.end()) return category;
  }
  return "";
}

std::string MmluPrompt(const MmluSubject& subject, int64_t shots, const MmluQuestion& question) {
  // The original puts a space before each word of the subject, and one more before the first.
  std::string prompt = "The following are multiple choice questions (with answers) about  ";
  for (const char c : subject.name) prompt += c == '_' ? ' ' : c;
  prompt += ".\n\n";
  for (int64_t i = 0; i < shots; ++i) {
    const MmluQuestion& example = subject.examples[static_cast<size_t>(i)];
    prompt += StrCat(Example(example), " ", kLetters[example.answer], "\n\n");
  }
  return prompt + Example(question);
}

MmluPrompts TokenizeMmlu(const MmluSubject& subject, const Tokenizer& tokenizer, int64_t context) {
  MmluPrompts prompts;
  prompts.ids.resize(subject.test.size());
  prompts.shots.resize(subject.test.size());
  ParallelFor(static_cast<int64_t>(subject.test.size()), [&](int64_t i) {
    std::vector<int32_t>& ids = prompts.ids[static_cast<size_t>(i)];
    int64_t shots = static_cast<int64_t>(subject.examples.size());
    for (;; --shots) {
      ids = tokenizer.Encode(MmluPrompt(subject, shots, subject.test[static_cast<size_t>(i)]));
      if (static_cast<int64_t>(ids.size()) <= context) break;
      SQ_CHECK(shots > 0, "MMLU subject ", subject.name, ": question ", i + 1, " has ", ids.size(),
               " tokens without examples, but the model's context is ", context);
    }
    prompts.shots[static_cast<size_t>(i)] = shots;
  });
  return prompts;
}

std::array<int32_t, kMmluChoices> MmluAnswerTokens(const Tokenizer& tokenizer) {
  const std::vector<int32_t> unanswered = tokenizer.Encode("Answer:");
  std::array<int32_t, kMmluChoices> tokens{};
  for (int i = 0; i < kMmluChoices; ++i) {
    std::vector<int32_t> ids = tokenizer.Encode(StrCat("Answer: ", kLetters[i]));
    tokens[static_cast<size_t>(i)] = ids.back();
    ids.pop_back();
    SQ_CHECK(ids == unanswered, "the tokenizer makes no single token of \" ", kLetters[i],
             "\" after \"Answer:\", as MMLU needs");
  }
  return tokens;
}

}  // namespace sq
