// The data sets known by name: where their files are looked for, and how rows become one text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/text/documents.h"

namespace sq {

// What a text file (.txt, .raw) of a data set holds. Other files hold a row per document.
enum class TextRows {
  kJoined,    // the rows joined already: the file as it stands
  kLines,     // a row per line, which keeps its line feed; a blank line is an empty row
  kStripped,  // a row per line without the white space around it
};

// How windows are cut.
enum class Cut {
  kConsecutive,      // one after the other, of all rows joined and tokenized as a whole
  kRandom,           // at random places of the same
  kRandomDocuments,  // at random places of random rows, each tokenized by itself
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
  const char* column;       // that holds a row's text
  std::vector<File> files;  // names on the hub, Parquet converted, then other usual ones
  Cut cut;
  const char* separator;    // between rows when joined
  int64_t max_rows = 0;     // 0: all
  int64_t max_windows = 0;  // 0: all, or as many as asked for
};

// The data set of this name, or null.
const DataSet* FindDataSet(const std::string& name, Purpose purpose);

// The names that FindDataSet knows, separated by ", ".
std::string DataSetNames(Purpose purpose);

struct Rows {
  std::string source;  // path of the file or folder
  std::vector<std::string> rows;
  DocumentFiles files;
};

// Reads the rows of `set` from the first of its files that is there: each is looked for in the data
// folder, in a copy of the repository in it (NAME or OWNER/NAME), and in its snapshot in a cache of
// huggingface_hub (datasets--OWNER--NAME). `data_dir` is the data folder, or empty: the
// environment's SQ_DATA_DIR. Throws sq::Error listing the names when none is there, with the
// command that converts it when there is only Parquet. A folder of C4 is taken only if no file in
// it is named as a shard, for shards are of one split or of another language.
Rows ReadRows(const DataSet& set, const std::string& data_dir);

}  // namespace sq
