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
using Places = std::vector<DataSet::Place>;

const Places kC4Validation = {
    {"c4-validation.00000-of-00008.json.gz"},    {"en/c4-validation.00000-of-00008.json.gz"},
    {"c4/c4-validation.00000-of-00008.json.gz"}, {"c4/en/c4-validation.00000-of-00008.json.gz"},
    {"c4/c4-validation.00000-of-00008.json"},    {"c4"}};
const Places kC4Train = {
    {"c4-train.00000-of-01024.json.gz"},    {"en/c4-train.00000-of-01024.json.gz"},
    {"c4/c4-train.00000-of-01024.json.gz"}, {"c4/en/c4-train.00000-of-01024.json.gz"},
    {"c4/c4-train.00000-of-01024.json"},    {"c4"}};

// Rows as the loaders of Hugging Face's wikitext and ptb_text_only make them from the lines of the
// original releases.
const std::vector<DataSet> kDataSets = {
    {"wikitext2",
     Purpose::kEvaluation,
     {{"wikitext-2-raw-v1/test.jsonl"},
      {"wikitext-2-raw-v1/wiki.test.raw", TextRows::kLines},
      {"wikitext-2-raw/wiki.test.raw", TextRows::kLines},
      {"wikitext-2/test.txt"}},
     Cut::kConsecutive,
     "\n\n"},
    {"c4", Purpose::kEvaluation, kC4Validation, Cut::kRandomDocuments, "", 0, 256},
    {"c4-new", Purpose::kEvaluation, kC4Validation, Cut::kConsecutive, " ", 1100, 256},
    {"ptb",
     Purpose::kEvaluation,
     {{"ptb/ptb.valid.txt", TextRows::kStripped}, {"ptb.valid.txt", TextRows::kStripped}},
     Cut::kConsecutive,
     "\n\n"},
    {"ptb-new",
     Purpose::kEvaluation,
     {{"ptb/ptb.test.txt", TextRows::kStripped}, {"ptb.test.txt", TextRows::kStripped}},
     Cut::kConsecutive,
     " "},
    {"c4", Purpose::kCalibration, kC4Train, Cut::kRandomDocuments, ""},
    {"wikitext2",
     Purpose::kCalibration,
     {{"wikitext-2-raw-v1/train.jsonl"},
      {"wikitext-2-raw-v1/wiki.train.raw", TextRows::kLines},
      {"wikitext-2-raw/wiki.train.raw", TextRows::kLines},
      {"wikitext-2/train.txt"}},
     Cut::kRandom,
     "\n\n"},
    {"ptb",
     Purpose::kCalibration,
     {{"ptb/ptb.train.txt", TextRows::kStripped}, {"ptb.train.txt", TextRows::kStripped}},
     Cut::kRandom,
     "\n\n"},
};

// `text` without what Python's str.strip() takes away.
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

bool HoldsShards(const std::string& folder) {
  const std::vector<std::string> names = FolderNames(folder);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.rfind("c4-train.", 0) == 0 || name.rfind("c4-validation.", 0) == 0;
  });
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
  std::string tried;
  for (const DataSet::Place& place : set.places) {
    tried += (tried.empty() ? "" : ", ") + std::string(place.name);
    const fs::path path = fs::path(dir) / place.name;
    if (!FileExists(path.string())) continue;
    if (IsFolder(path.string()) && HoldsShards(path.string())) continue;
    Rows rows{path.string(), ReadDocuments(path.string())};
    const bool is_text = path.extension() == ".txt" || path.extension() == ".raw";
    if (is_text && place.rows != TextRows::kJoined) {
      rows.rows = SplitRows(rows.rows.front(), place.rows);
    }
    if (set.max_rows > 0 && static_cast<int64_t>(rows.rows.size()) > set.max_rows) {
      rows.rows.resize(set.max_rows);
    }
    return rows;
  }
  throw Error(StrCat("data set ", set.name, ": not found in ", dir, "; looked for ", tried));
}

}  // namespace sq
