#include "sq/text/data_set.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/documents.h"
#include "sq/text/unicode.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<DataSet::File>;

constexpr char kWikiText[] = "Salesforce/wikitext";
constexpr char kPtb[] = "ptb-text-only/ptb_text_only";  // Parquet: its branch refs/convert/parquet
constexpr char kC4[] = "allenai/c4";

const Files kC4Validation = {{"en/c4-validation.00000-of-00008.json.gz"},
                             {"c4-validation.00000-of-00008.json.gz"},
                             {"c4-validation.00000-of-00008.json"},
                             {"c4"}};
const Files kC4Train = {{"en/c4-train.00000-of-01024.json.gz"},
                        {"c4-train.00000-of-01024.json.gz"},
                        {"c4-train.00000-of-01024.json"},
                        {"c4"}};
const Files kPtbTrain = {{"penn_treebank/train/0000.jsonl"},
                         {"ptb/ptb.train.txt", TextRows::kStripped},
                         {"ptb.train.txt", TextRows::kStripped}};
const Files kPtbValidation = {{"penn_treebank/validation/0000.jsonl"},
                              {"ptb/ptb.valid.txt", TextRows::kStripped},
                              {"ptb.valid.txt", TextRows::kStripped}};
const Files kPtbTest = {{"penn_treebank/test/0000.jsonl"},
                        {"ptb/ptb.test.txt", TextRows::kStripped},
                        {"ptb.test.txt", TextRows::kStripped}};
const Files kWikiTextTrain = {{"wikitext-2-raw-v1/train-00000-of-00001.jsonl"},
                              {"wikitext-2-raw-v1/train.jsonl"},
                              {"wikitext-2-raw-v1/wiki.train.raw", TextRows::kLines},
                              {"wikitext-2-raw/wiki.train.raw", TextRows::kLines},
                              {"wikitext-2/train.txt"}};
const Files kWikiTextTest = {{"wikitext-2-raw-v1/test-00000-of-00001.jsonl"},
                             {"wikitext-2-raw-v1/test.jsonl"},
                             {"wikitext-2-raw-v1/wiki.test.raw", TextRows::kLines},
                             {"wikitext-2-raw/wiki.test.raw", TextRows::kLines},
                             {"wikitext-2/test.txt"}};

// Rows as produced from the lines of the original releases by the loaders of Hugging Face's
// wikitext and ptb_text_only. Evaluation follows the original, calibration the original's fork for
// gradients.
constexpr Purpose kEvaluation = Purpose::kEvaluation, kCalibration = Purpose::kCalibration;
const std::vector<DataSet> kDataSets = {
    {"wikitext2", kEvaluation, kWikiText, "text", kWikiTextTest, Cut::kConsecutive, "\n\n"},
    {"c4", kEvaluation, kC4, "text", kC4Validation, Cut::kRandomDocuments, "", 0, 256},
    {"c4-new", kEvaluation, kC4, "text", kC4Validation, Cut::kConsecutive, " ", 1100, 256},
    {"ptb", kEvaluation, kPtb, "sentence", kPtbValidation, Cut::kConsecutive, "\n\n"},
    {"ptb-new", kEvaluation, kPtb, "sentence", kPtbTest, Cut::kConsecutive, " "},
    {"c4", kCalibration, kC4, "text", kC4Train, Cut::kRandomDocuments, ""},
    {"c4-new", kCalibration, kC4, "text", kC4Train, Cut::kRandomDocuments, ""},
    {"wikitext2", kCalibration, kWikiText, "text", kWikiTextTrain, Cut::kRandom, "\n\n"},
    {"ptb", kCalibration, kPtb, "sentence", kPtbTrain, Cut::kRandom, "\n\n"},
    {"ptb-new", kCalibration, kPtb, "sentence", kPtbTrain, Cut::kRandom, " "},
};

// Python's str.strip().
std::string_view Strip(std::string_view text) {
  const auto is_space = [](char32_t c) { return IsWhiteSpace(c) || (c >= 0x1c && c <= 0x1f); };
  size_t begin = text.size(), end = 0;
  for (size_t i = 0; i < text.size();) {
    char32_t c;
    const int length = DecodeUtf8(text.substr(i), &c);
    if (!is_space(c)) {
      begin = std::min(begin, i);
      end = i + length;
    }
    i += length;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

std::vector<std::string> SplitRows(std::string_view text, TextRows kind) {
  std::vector<std::string> rows;
  while (!text.empty()) {
    const size_t feed = text.find('\n');
    const bool has_feed = feed != std::string_view::npos;
    std::string_view line = text.substr(0, feed);
    text.remove_prefix(has_feed ? feed + 1 : text.size());
    const std::string_view stripped = Strip(line);
    if (kind == TextRows::kStripped || stripped.empty()) {
      rows.emplace_back(stripped);
      continue;
    }
    if (has_feed && line.back() == '\r') line.remove_suffix(1);  // as Python reads text files
    rows.emplace_back(line);
    if (has_feed) rows.back() += '\n';
  }
  return rows;
}

// Whether a folder of C4 has documents, none of them in shards, which belong to one split or
// another language (multilingual/c4-af.tfrecord-00000-of-00064.json.gz).
bool HoldsDocuments(const std::string& folder) {
  const std::vector<std::string> names = FindDocuments(folder).read;
  const auto is_shard = [](const std::string& path) {
    const std::string name = fs::path(path).filename().string();
    return name.rfind("c4-train.", 0) == 0 || name.rfind("c4-validation.", 0) == 0 ||
           name.find(".tfrecord-") != std::string::npos;
  };
  return !names.empty() && std::none_of(names.begin(), names.end(), is_shard);
}

bool IsThere(const fs::path& path) {
  return IsFolder(path.string()) ? HoldsDocuments(path.string()) : FileExists(path.string());
}

// Possible folders of a copy of the repository in the data folder: under its usual names, or in a
// cache of huggingface_hub.
struct Copies {
  std::string name, full_name, cache;
};

Copies CopiesOf(const DataSet& set) {
  const std::string repository = set.repository;
  const size_t slash = repository.find('/');
  const std::string owner = repository.substr(0, slash), name = repository.substr(slash + 1);
  return {name, repository, "datasets--" + owner + "--" + name};
}

// The folders that may contain the files of `set`.
std::vector<fs::path> Roots(const DataSet& set, const fs::path& dir) {
  const Copies copies = CopiesOf(set);
  std::vector<fs::path> roots = {dir, dir / copies.name, dir / copies.full_name};
  const fs::path snapshots = dir / copies.cache / "snapshots";
  if (IsFolder(snapshots.string())) {
    for (const std::string& name : FolderNames(snapshots.string())) {
      roots.push_back(snapshots / name);
    }
  }
  return roots;
}

Rows ReadFileOfSet(const DataSet& set, const fs::path& path, TextRows text_rows) {
  Documents documents = ReadDocuments(path.string(), set.column);
  Rows rows{path.string(), std::move(documents.texts), std::move(documents.files)};
  const bool is_text = path.extension() == ".txt" || path.extension() == ".raw";
  if (is_text && text_rows != TextRows::kJoined) {
    rows.rows = SplitRows(rows.rows.front(), text_rows);
  }
  if (set.max_rows > 0 && static_cast<int64_t>(rows.rows.size()) > set.max_rows) {
    rows.rows.resize(set.max_rows);
  }
  return rows;
}

}  // namespace

const DataSet* FindDataSet(const std::string& name, Purpose purpose) {
  for (const DataSet& set : kDataSets) {
    if (set.name == name && set.purpose == purpose) return &set;
  }
  return nullptr;
}

std::string DataSetNames(Purpose purpose) {
  std::string names;
  for (const DataSet& set : kDataSets) {
    if (set.purpose == purpose) names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  return names;
}

Rows ReadRows(const DataSet& set, const std::string& data_dir) {
  const char* from_environment = std::getenv("SQ_DATA_DIR");
  const std::string dir =
      data_dir.empty() && from_environment != nullptr ? from_environment : data_dir;
  SQ_CHECK(!dir.empty(), "data set ", set.name,
           ": no data folder; name one with --data-dir or in SQ_DATA_DIR");
  SQ_CHECK(IsFolder(dir), dir, ": not a folder");
  const std::vector<fs::path> roots = Roots(set, dir);
  for (const DataSet::File& file : set.files) {
    for (const fs::path& root : roots) {
      if (IsThere(root / file.path)) return ReadFileOfSet(set, root / file.path, file.rows);
    }
  }
  std::string names;
  for (const DataSet::File& file : set.files) {
    names += (names.empty() ? "" : ", ") + std::string(file.path);
    for (const fs::path& root : roots) {
      const std::string parquet = (root / file.path).replace_extension(".parquet").string();
      SQ_CHECK(!FileExists(parquet), "data set ", set.name, ": ", NotParquet(parquet));
    }
  }
  const Copies copies = CopiesOf(set);
  throw Error(StrCat("data set ", set.name, ": not found in ", dir, "; looked for ", names,
                     ", also in ", copies.name, ", ", copies.full_name, " and ", copies.cache,
                     "; scripts/fetch_data.py downloads it"));
}

}  // namespace sq
