// What sharing the prefix gives: MMLU questions scored by NextTokenLogits in one group per subject,
// and one by one with a full prompt each.
//
//   bench_mmlu_prefix MODEL MMLU_DIR QUESTIONS SUBJECT...
//
// Takes the first QUESTIONS of each subject. Prints seconds of both and their ratio, what the ratio
// of the tokens allows (all tokens by the common beginning and each prompt's own), and the largest
// difference of a logit.

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>

#include "sq/eval/mmlu.h"
#include "sq/eval/next_token.h"
#include "sq/model/runtime.h"

namespace sq {
namespace {

void Run(const std::string& folder, const std::string& mmlu, size_t count,
         const std::vector<std::string>& names) {
  const Model model = OpenModel(folder);
  const auto tokenizer = LoadTokenizer(folder);
  const auto answers = MmluAnswerTokens(*tokenizer);
  const std::vector<int32_t> candidates(answers.begin(), answers.end());
  for (const MmluSubject& subject : ReadMmlu(mmlu, names, 5)) {
    Prompts prompts = TokenizeMmlu(subject, *tokenizer, model.config.max_positions).ids;
    prompts.resize(std::min(prompts.size(), count));
    std::vector<Prompts> apart;
    size_t tokens = 0, common = prompts.empty() ? 0 : prompts[0].size();
    for (const auto& prompt : prompts) {
      apart.push_back({prompt});
      tokens += prompt.size();
      const auto differs = std::mismatch(prompt.begin(), prompt.end(), prompts[0].begin(),
                                         prompts[0].begin() + static_cast<int64_t>(common));
      common = static_cast<size_t>(differs.first - prompt.begin());
    }
    const size_t needed = common + tokens - common * prompts.size();
    const std::clock_t begin = std::clock();
    const at::Tensor shared = NextTokenLogits(model, {prompts}, candidates, {})[0];
    const std::clock_t middle = std::clock();
    const at::Tensor full = at::cat(NextTokenLogits(model, apart, candidates, {}));
    const std::clock_t end = std::clock();
    const double shared_seconds = static_cast<double>(middle - begin) / CLOCKS_PER_SEC;
    const double full_seconds = static_cast<double>(end - middle) / CLOCKS_PER_SEC;
    std::printf(
        "%s: %zu questions, %zu tokens: shared %.2f s, full prompts %.2f s, %.1f times (by the "
        "tokens "
        "%.1f); largest difference of a logit %.1e\n",
        subject.name.c_str(), prompts.size(), tokens, shared_seconds, full_seconds,
        full_seconds / shared_seconds, static_cast<double>(tokens) / static_cast<double>(needed),
        (shared - full).abs().max().item<double>());
  }
}

}  // namespace
}  // namespace sq

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: bench_mmlu_prefix MODEL MMLU_DIR QUESTIONS SUBJECT...\n");
    return 2;
  }
  try {
    sq::SetUpLibTorch();
    sq::Run(argv[1], argv[2], std::strtoul(argv[3], nullptr, 10), {argv + 4, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
