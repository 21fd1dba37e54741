#include "sq/text/tokenizer.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/bpe_tokenizer.h"
#include "sq/text/sentencepiece_tokenizer.h"
#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/vocab_merges.h"
#include "sq/text/xgen_vocabulary.h"

namespace sq {

std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir) {
  namespace fs = std::filesystem;
  const auto path = [&](const char* name) { return (fs::path(model_dir) / name).string(); };
  SQ_CHECK(IsFolder(model_dir), model_dir, ": not a folder");
  const TokenizerConfig config = ReadTokenizerConfig(model_dir);
  if (config.tokenizer_class == "XgenTokenizer") {
    return MakeBpeTokenizer(ReadXgenVocabulary(model_dir, config), config, model_dir);
  }
  const std::string json_path = path("tokenizer.json");
  const std::string model_path = path("tokenizer.model");
  if (FileExists(json_path)) {
    return MakeBpeTokenizer(ParseTokenizerJson(ReadJsonFile(json_path), json_path), config,
                            json_path);
  }
  if (FileExists(model_path)) return LoadSentencePieceTokenizer(model_path, config);
  const std::string vocabulary_path = path("vocab.json");
  const std::string merges_path = path("merges.txt");
  SQ_CHECK(FileExists(vocabulary_path) && FileExists(merges_path), model_dir,
           ": no tokenizer.json, tokenizer.model, or vocab.json and merges.txt in this folder");
  return MakeBpeTokenizer(ReadVocabularyAndMerges(vocabulary_path, merges_path, config), config,
                          vocabulary_path);
}

}  // namespace sq
