#include "sq/pipeline/calibration_samples.h"

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/calib/self_samples.h"
#include "sq/pipeline/progress.h"
#include "sq/text/corpus.h"
#include "sq/text/token_lists.h"
#include "sq/text/tokenizer.h"

namespace sq {

std::vector<int32_t> SelfPrefix(const std::string& folder) {
  return HasTokenizer(folder) ? LoadTokenizer(folder)->Encode("") : std::vector<int32_t>();
}

std::vector<std::vector<int32_t>> LoadCalibration(const Model& model,
                                                  const QuantizeModelOptions& options) {
  if (options.calibration == "self") {
    Progress progress("sampling", "token", options.samples * options.sequence_length);
    return SampleFromModel(
        model, SelfPrefix(model.folder), options.samples, options.sequence_length, options.seed,
        [&](int64_t done) { progress.Update(done); }, options.device);
  }
  if (HoldsTokenLists(options.calibration)) return ReadTokenLists(options.calibration);
  const auto tokenizer = LoadTokenizer(model.folder);
  CalibrationOptions wanted;
  wanted.data_dir = options.data_dir;
  wanted.text_field = options.text_field;
  wanted.samples = options.samples;
  wanted.sequence_length = options.sequence_length;
  wanted.seed = options.seed;
  TokenSamples found = CalibrationSamples(options.calibration, *tokenizer, wanted);
  if (const std::string text = FilesText(found.files); !text.empty()) {
    LogInfo(StrCat(found.source, ": ", text));
  }
  if (static_cast<int64_t>(found.samples.size()) < options.samples) {
    LogWarning(StrCat(found.source, ": ", found.samples.size(), " samples of ",
                      options.sequence_length, " tokens instead of ", options.samples));
  }
  return std::move(found.samples);
}

}  // namespace sq
