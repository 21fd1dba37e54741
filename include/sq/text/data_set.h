// The data sets known by name: where their files are found, and how their rows are joined.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/text/documents.h"

namespace sq {

// What a text file (.txt, .raw) of a data set contains. Other files have one row per document.
enum class TextRows {
  kJoined,    // joined rows: the file as it is
  kLines,     // one row per line, including its line feed; a blank line is an empty row
  kStripped,  // one row per line without leading and trailing white space
};

// How windows are chosen.
enum class Cut {
  kConsecutive,      // consecutive, from all rows joined and tokenized as a whole
  kRandom,           // at random positions of the same
  kRandomDocuments,  // at random positions of random rows, each tokenized by itself
};

enum class Purpose { kCalibration, kEvaluation };

// One split of a data set, as one protocol uses it.
struct DataSet {
  struct File {
    const char* path;  // a file, or a folder of documents
    TextRows rows = TextRows::kJoined;
  };

  const char* name;
  Purpose purpose;
  const char* repository;   // on the Hugging Face hub
  const char* column;       // with the text of a row
  std::vector<File> files;  // names on the hub (converted from Parquet), then other common ones
  Cut cut;
  const char* separator;    // between rows when joined
  int64_t max_rows = 0;     // 0: all
  int64_t max_windows = 0;  // 0: as many as requested
};

// The data set of this name; null if unknown.
const DataSet* FindDataSet(const std::string& name, Purpose purpose);

// The names that FindDataSet knows, separated by ", ".
std::string DataSetNames(Purpose purpose);

struct Rows {
  std::string source;  // path of the file or folder
  std::vector<std::string> rows;
  DocumentFiles files;
};

// Reads the rows of `set` from the first of its files that exists. Each is searched for in the data
// folder, in a copy of the repository there (NAME or OWNER/NAME), and in a snapshot in a cache of
// huggingface_hub (datasets--OWNER--NAME). `data_dir` is the data folder; if empty, the
// environment's SQ_DATA_DIR. Throws sq::Error listing the names when none exists, with the command
// for conversion when only Parquet is found. A folder of C4 is used only if no file in it is named
// like a shard, since shards belong to one split or another language.
Rows ReadRows(const DataSet& set, const std::string& data_dir);

}  // namespace sq
