// Data sets as token windows, by the protocols of the original method and of the GPTQ line of work
// that it follows: what perplexity is measured on, and what sensitivity is measured with.
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
  DocumentFiles files;  // what was read of it, and what not
};

struct EvaluationOptions {
  std::string data_dir;             // the data folder; empty: the environment's SQ_DATA_DIR
  std::string text_field = "text";  // of a path's JSON: see ReadDocuments
  int64_t sequence_length = 2048;   // tokens per window, at least 2
  int64_t max_windows = 0;          // 0: all; else only the first of them
};

// The windows, `sequence_length` tokens each, of the data set `name`:
//   wikitext2  test split, rows joined by two newlines; consecutive windows
//   ptb        validation split, the same;  ptb-new  test split, rows joined by a space
//   c4         256 windows of validation shard 0: RandomWindows with seed 0, kDrawAgain
//   c4-new     the first 1100 documents of that shard, joined by a space; the first 256 windows
//   a path     the documents of a file or folder (see ReadDocuments), joined by two newlines; one
//              .txt file is thus taken as it stands; consecutive windows
// Joined text is tokenized as a whole; consecutive windows do not overlap, and a tail shorter than
// a window is dropped. "wikitext-2/test.txt" under the data folder is taken for rows joined
// already. Throws sq::Error when the name is unknown, the data is not found or does not fill one
// window.
TokenSamples EvaluationWindows(const std::string& name, const Tokenizer& tokenizer,
                               const EvaluationOptions& options);

struct CalibrationOptions {
  std::string data_dir;             // the data folder; empty: the environment's SQ_DATA_DIR
  std::string text_field = "text";  // of a path's JSON: see ReadDocuments
  int64_t samples = 100;            // how many are wanted
  int64_t sequence_length = 512;    // tokens per sample, at least 2
  uint64_t seed = 0;
};

// Samples of the data set `name`:
//   c4, c4-new RandomWindows of train shard 0, or of a folder c4 of JSON lines, kWhole
//   wikitext2  train split (never test), rows joined by two newlines, tokenized as a whole; each
//              sample starts at randint(0, tokens - sequence_length - 1), after random.seed(seed)
//   ptb        the same of ptb's train split;  ptb-new  its rows joined by a space
//   a path     each document of a file or folder (see ReadDocuments) tokenized by itself, all put
//              in a row and cut into consecutive samples: the first `samples`, or fewer if that is
//              all
// Throws sq::Error when the name is unknown, the data is not found or does not fill one sample.
// Lists of token ids need no tokenizer: see token_lists.h.
TokenSamples CalibrationSamples(const std::string& name, const Tokenizer& tokenizer,
                                const CalibrationOptions& options);

// The windows of `length` ids that `ids` begins with, one after the other; the tail is dropped.
std::vector<std::vector<int32_t>> Windows(const std::vector<int32_t>& ids, int64_t length);

// What becomes of a drawn document of just as many tokens as wanted. The original's evaluation
// stops at it and then fails (in randint(0, -1)): published figures come from draws without one.
// Its fork that computes gradients takes it as it is, without drawing a start.
enum class JustLongEnough { kDrawAgain, kWhole };

// The original's sampling: random.seed(seed), then `count` times: draw documents, randint(0,
// documents - 1), until one has more than `length` tokens (or just as many, as `just` says), then
// start at randint(0, tokens - length - 1). Throws sq::Error, opening with `what`, when no document
// is long enough. A document is tokenized only when drawn, and a short one only once.
std::vector<std::vector<int32_t>> RandomWindows(const std::vector<std::string>& documents,
                                                const Tokenizer& tokenizer, int64_t count,
                                                int64_t length, uint64_t seed, JustLongEnough just,
                                                const std::string& what);

}  // namespace sq
