#include "sq/pipeline/model_checks.h"

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/parallel.h"
#include "sq/base/problem_list.h"
#include "sq/base/process.h"
#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {

void LogWarnings(const Model& model) {
  for (const std::string& warning : model.warnings) LogWarning(warning);
}

void CheckQuantizable(const Model& model) {
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
      SQ_CHECK(!HasPackedLayer(model.store, linear.name), model.folder, ": is quantized already");
      SQ_CHECK(linear.in_features % 32 == 0, model.folder, ": tensor ", linear.name,
               ".weight: expected a multiple of 32 input features, found ", linear.in_features);
    }
  }
}

void CheckSensitivity(const Model& model, const TensorStore& store) {
  ProblemList problems;
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
      CheckFloats(store, linear.name + ".weight", {linear.out_features, linear.in_features},
                  &problems);
    }
  }
  problems.Check(store.path());
}

void CheckValues(const TensorStore& store) {
  const std::vector<std::string> names = store.Names();
  ParallelFor(static_cast<int64_t>(names.size()), [&](int64_t i) {
    StopIfInterrupted();
    const FileTensor& tensor = store.Get(names[static_cast<size_t>(i)]);
    CheckFinite(tensor);
    tensor.Release();
  });
}

}  // namespace sq
