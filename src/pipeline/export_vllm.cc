#include "sq/pipeline/export_vllm.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
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
  for (int64_t l = 0; l < model.config.num_layers; ++l) {
    for (const LinearInfo& linear : LayerLinears(model.config, l)) {
      StopIfInterrupted();
      SQ_CHECK(HasPackedLayer(model.store, linear.name), model.folder,
               ": is not quantized: tensor ", linear.name, ".qweight is missing");
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
  }
  return summary;
}

void WriteConfig(const Model& from, const std::string& to, int bits) {
  nlohmann::ordered_json config = CarriedConfig(from.folder, !from.config.tie_word_embeddings);
  // The first vLLM releases look for the original's name of the width here too.
  config["quantization_config"]["wbits"] = bits;
  WriteFile(fs::path(to) / "config.json", JsonText(config) + "\n");
  const nlohmann::ordered_json quant_config = {{"wbits", bits}};
  WriteFile(fs::path(to) / "quant_config.json", quant_config.dump(2) + "\n");
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
    if (fs::path(name).extension() == ".startrows") continue;
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
  WriteConfig(model, made.temporary(), summary.bits);
  CopyCompanionFiles(folder, made.temporary());
  made.Commit();
  SayWhatServesIt(output, summary);
}

}  // namespace sq
