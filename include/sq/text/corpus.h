// Token windows of data sets, for perplexity and for calibration, by the protocols of the original
// method and of GPTQ, which it follows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/text/documents.h"
#include "sq/text/tokenizer.h"

namespace sq {

struct TokenSamples {
  std::string source;  // the file or folder that they come from
  std::vector<std::vector<int32_t>> samples;
  DocumentFiles files;  // which files were read and which were not
};

struct EvaluationOptions {
  std::string data_dir;             // the data folder; empty: the environment's SQ_DATA_DIR
  std::string text_field = "text";  // key of a text in JSON files: see ReadDocuments
  int64_t sequence_length = 2048;   // tokens per window, at least 2
  int64_t max_windows = 0;          // only the first ones; 0: all
};

// The windows, `sequence_length` tokens each, of the data set `name`:
//   wikitext2  test split, rows joined by two newlines; consecutive windows
//   ptb        validation split, the same;  ptb-new  test split, rows joined by a space
//   c4         256 windows of validation shard 0: RandomWindows with seed 0, kDrawAgain
//   c4-new     the first 1100 documents of that shard, joined by a space; the first 256 windows
//   a path     the documents of a file or folder (see ReadDocuments), joined by two newlines; one
//              .txt file is thus used unchanged; consecutive windows
// Joined text is tokenized as a whole. Consecutive windows do not overlap; a tail shorter than a
// window is dropped. "wikitext-2/test.txt" in the data folder is assumed to hold joined rows.
// Throws sq::Error when the name is unknown, or the data is not found or too short for one window.
TokenSamples EvaluationWindows(const std::string& name, const Tokenizer& tokenizer,
                               const EvaluationOptions& options);

struct CalibrationOptions {
  std::string data_dir;             // the data folder; empty: the environment's SQ_DATA_DIR
  std::string text_field = "text";  // of a path's JSON: see ReadDocuments
  int64_t samples = 100;            // number of samples
  int64_t sequence_length = 512;    // tokens per sample, at least 2
  uint64_t seed = 0;
};

// Samples of the data set `name`:
//   c4, c4-new RandomWindows of train shard 0, or of a folder c4 of JSON lines, kWhole
//   wikitext2  train split (never test), rows joined by two newlines, tokenized as a whole; each
//              sample starts at randint(0, tokens - sequence_length - 1), after random.seed(seed)
//   ptb        the same of ptb's train split;  ptb-new  its rows joined by a space
//   a path     each document of a file or folder (see ReadDocuments) tokenized separately,
//              concatenated and cut into consecutive samples: the first `samples`, or all if
//              there are fewer
// Throws sq::Error when the name is unknown, or the data is not found or too short for one sample.
// For lists of token ids, which need no tokenizer, see token_lists.h.
TokenSamples CalibrationSamples(const std::string& name, const Tokenizer& tokenizer,
                                const CalibrationOptions& options);

// Splits `ids` into consecutive windows of `length` ids; a shorter tail is dropped.
std::vector<std::vector<int32_t>> Windows(const std::vector<int32_t>& ids, int64_t length);

// What to do with a drawn document of exactly the requested number of tokens. The original's
// evaluation accepts it and then fails in randint(0, -1), so published figures come from draws
// without one. The original's fork for gradients takes the whole document without drawing a start.
enum class JustLongEnough { kDrawAgain, kWhole };

// The original's sampling: random.seed(seed), then `count` times: draw documents, randint(0,
// documents - 1), until one has more than `length` tokens (or exactly `length`, depending on
// `just`), then start at randint(0, tokens - length - 1). Throws sq::Error, beginning with `what`,
// when no document is long enough. A document is tokenized only when drawn, and short ones only
// once.
std::vector<std::vector<int32_t>> RandomWindows(const std::vector<std::string>& documents,
                                                const Tokenizer& tokenizer, int64_t count,
                                                int64_t length, uint64_t seed, JustLongEnough just,
                                                const std::string& what);

}  // namespace sq
