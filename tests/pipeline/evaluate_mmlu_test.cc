#include "sq/pipeline/evaluate_mmlu.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sq/eval/mmlu.h"
#include "sq/eval/perplexity.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const std::string kFolder = SQ_GOLDEN_DIR "/mmlu";

// A token for each byte below 128, and one for the answers: " A" to " D" are 1 to 4.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool answer =
          i + 2 == text.size() && text[i] == ' ' && text[i + 1] >= 'A' && text[i + 1] <= 'D';
      if (answer) {
        ids.push_back(text[i + 1] - 'A' + 1);
        break;
      }
      ids.push_back(text[i] & 127);
    }
    return ids;
  }
  std::string Decode(const std::vector<int32_t>&, bool) const override { return ""; }
  int64_t VocabularySize() const override { return 128; }
  std::optional<int32_t> BosId() const override { return {}; }
  std::optional<int32_t> EosId() const override { return {}; }
};

Model OpenLongModel() {
  Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  model.config.max_positions = 620;  // rotary positions go on; one prompt loses an example
  return model;
}

// Every question through the whole of its prompt, counted by hand.
std::vector<MmluSubject> Subjects(const MmluOptions& options) {
  return ReadMmlu(options.folder, options.subjects, options.shots);
}

TEST(EvaluateMmluTest, CountsWhatWholePromptsAnswer) {
  const Model model = OpenLongModel();
  const ByteTokenizer tokenizer;
  MmluOptions options;
  options.folder = kFolder;
  options.shots = 3;
  options.logits = test::ScratchFolder() + "/logits.safetensors";
  const Json mmlu = EvaluateMmlu(model, tokenizer, Subjects(options), options, 0, kCpu, false);
  const TensorStore written = TensorStore::Open(options.logits);
  int64_t correct = 0, questions = 0, cut = 0;
  size_t s = 0;
  for (const MmluSubject& subject : ReadMmlu(kFolder, {}, 3)) {
    const FileTensor& file = written.Get("mmlu." + subject.name);
    const at::Tensor logits = LoadFloats(file, file.shape, kCpu);
    const MmluPrompts prompts = TokenizeMmlu(subject, tokenizer, model.config.max_positions);
    std::string answers;
    int64_t right = 0;
    EvaluateWindows(model, prompts.ids, {}, [&](int64_t q, const at::Tensor& all) {
      const at::Tensor expected = all[all.size(0) - 1].narrow(0, 1, 4);
      EXPECT_LT((logits[q] - expected).abs().max().item<float>(), 1e-4f) << subject.name << q;
      answers += static_cast<char>('A' + expected.argmax().item<int64_t>());
      right += answers.back() == 'A' + subject.test[static_cast<size_t>(q)].answer;
      cut += prompts.shots[static_cast<size_t>(q)] < 3;
    });
    const Json& entry = mmlu["subjects"][s++];
    EXPECT_EQ(entry["subject"], subject.name);
    EXPECT_EQ(entry["answers"], answers);
    EXPECT_EQ(entry["correct"], right);
    EXPECT_EQ(entry["questions"], subject.test.size());
    correct += right;
    questions += static_cast<int64_t>(subject.test.size());
  }
  EXPECT_GT(cut, 0);
  EXPECT_EQ(mmlu["questions"], questions);
  EXPECT_EQ(mmlu["correct"], correct);
  const double p = static_cast<double>(correct) / static_cast<double>(questions);
  EXPECT_DOUBLE_EQ(mmlu["accuracy"].get<double>(), p);
  EXPECT_DOUBLE_EQ(mmlu["standard_error"].get<double>(),
                   std::sqrt(p * (1 - p) / static_cast<double>(questions)));
  // The subject that is not of the release counts in no category.
  ASSERT_EQ(mmlu["categories"].size(), 1u);
  EXPECT_EQ(mmlu["categories"][0]["category"], "social sciences");
  EXPECT_EQ(mmlu["categories"][0]["questions"], 4);
  EXPECT_TRUE(mmlu["subjects"][0]["category"].is_null());
}

TEST(EvaluateMmluTest, TheTableHasALineForEach) {
  const Json mmlu = {{"shots", 5},
                     {"questions", 8},
                     {"correct", 2},
                     {"accuracy", 0.25},
                     {"standard_error", 0.1531},
                     {"categories", Json::array()},
                     {"subjects",
                      {{{"subject", "anatomy"},
                        {"questions", 8},
                        {"correct", 2},
                        {"accuracy", 0.25},
                        {"standard_error", 0.1531}}}},
                     {"seconds", 1.5}};
  EXPECT_EQ(MmluText(mmlu),
            "MMLU, 5 shots, 1.5 s\n"
            "  anatomy                               25.00 % +- 15.31      2 of 8\n"
            "  all                                   25.00 % +- 15.31      2 of 8\n");
}

TEST(EvaluateMmluTest, ContextsTooShortAreNamed) {
  Model model = OpenLongModel();
  model.config.max_positions = 80;
  MmluOptions options;
  options.folder = kFolder;
  EXPECT_THAT(test::MessageOf([&] {
                EvaluateMmlu(model, ByteTokenizer(), Subjects(options), options, 0, kCpu, false);
              }),
              HasSubstr("expected at least 5 rows for as many shots, found 3"));
  options.shots = 0;
  EXPECT_THAT(test::MessageOf([&] {
                EvaluateMmlu(model, ByteTokenizer(), Subjects(options), options, 0, kCpu, false);
              }),
              HasSubstr("but the model's context is 80"));
}

}  // namespace
}  // namespace sq
