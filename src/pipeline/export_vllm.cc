#include "sq/pipeline/export_vllm.h"

#include <filesystem>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/process.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/quantized_config.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/companion_files.h"
#include "sq/pipeline/model_checks.h"
#include "sq/pipeline/output_folder.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

struct Summary {
  int bits = 0;
  int64_t outliers = 0;
  bool sparse_tensors = false;  // there are such also where there is no outlier
};

// Reads, and so checks, every layer.
Summary Summarize(const Model& model) {
  Summary summary;
  std::string first;
  for (const LinearInfo& linear : ModelLinears(model.config)) {
    StopIfInterrupted();
    CheckIsPacked(model.store, linear.name, model.folder);
    const PackedLayer layer =
        ReadPackedLayer(model.store, linear.name, linear.out_features, linear.in_features);
    if (first.empty()) {
      first = linear.name;
      summary.bits = layer.bits;
    }
    SQ_CHECK(layer.bits == summary.bits, model.folder,
             ": vLLM takes one width for a model: ", first, " has ", summary.bits, " bits, ",
             linear.name, " ", layer.bits);
    summary.outliers += layer.outliers.NonZeros();
    summary.sparse_tensors |= !layer.outliers.row_ptr.empty();
  }
  return summary;
}

void SayWhatServesIt(const std::string& output, const Summary& summary) {
  if (summary.bits == 4 && !summary.sparse_tensors) return;
  const std::string what =
      summary.bits != 4 ? StrCat(summary.bits, " bits") : StrCat(summary.outliers, " outliers");
  LogWarning(StrCat(output, ": has ", what,
                    "; the loader of vLLM 0.2 to 0.5 takes 4 bits without outliers alone: serve "
                    "this by the plugin in tools/serving"));
}

}  // namespace

void ExportVllm(const std::string& folder, const std::string& output, const OpenOptions& open) {
  OutputFolder made(output);
  const Model model = OpenModel(folder, open);
  LogWarnings(model);
  const Summary summary = Summarize(model);
  std::vector<TensorView> views;
  std::vector<const FileTensor*> files;
  for (const std::string& name : model.store.Names()) {
    if (IsStartRows(name)) continue;
    const FileTensor& tensor = model.store.Get(name);
    views.push_back(ToWrite(tensor));
    files.push_back(&tensor);
  }
  std::vector<float> buffer;
  WriteCheckpoint(made.temporary(), views, [&](size_t i) {
    StopIfInterrupted();
    if (i > 0) files[i - 1]->Release();
    return DataToWrite(*files[i], &buffer);
  });
  WriteVllmConfig(folder, made.temporary(), summary.bits, !model.config.tie_word_embeddings);
  CopyCompanionFiles(folder, made.temporary());
  made.Commit();
  SayWhatServesIt(output, summary);
}

}  // namespace sq
