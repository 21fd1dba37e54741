#include "sq/text/corpus.h"

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/data_set.h"
#include "sq/text/documents.h"
#include "sq/text/python_random.h"

namespace sq {
namespace {

using Samples = std::vector<std::vector<int32_t>>;

std::string Join(const std::vector<std::string>& rows, const std::string& separator) {
  size_t size = 0;
  for (const std::string& row : rows) size += row.size() + separator.size();
  std::string text;
  text.reserve(size);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) text += separator;
    text += rows[i];
  }
  return text;
}

std::vector<int32_t> Slice(const std::vector<int32_t>& ids, int64_t begin, int64_t length) {
  return {ids.begin() + begin, ids.begin() + begin + length};
}

// `count` windows of one text.
Samples RandomWindowsOfText(const std::vector<int32_t>& ids, int64_t count, int64_t length,
                            uint64_t seed) {
  PythonRandom random(seed);
  Samples windows;
  for (int64_t i = 0; i < count; ++i) {
    const auto last = static_cast<int64_t>(ids.size()) - length - 1;
    windows.push_back(Slice(ids, random.RandInt(0, last), length));
  }
  return windows;
}

// The rows of a data set, or the documents at a path; `set` is null for the latter.
Rows ReadNamed(const std::string& name, Purpose purpose, const std::string& data_dir,
               const std::string& text_field, const DataSet** set) {
  *set = FindDataSet(name, purpose);
  if (*set != nullptr) return ReadRows(**set, data_dir);
  SQ_CHECK(FileExists(name), name, ": neither a file or folder nor a data set (",
           DataSetNames(purpose), ")");
  Documents documents = ReadDocuments(name, text_field);
  return {name, std::move(documents.texts), std::move(documents.files)};
}

void CheckLength(int64_t length) {
  SQ_CHECK(length >= 2, "sequence length: expected at least 2 tokens, found ", length);
}

[[noreturn]] void TooShort(const std::string& source, int64_t tokens, int64_t needed) {
  throw Error(
      StrCat(source, ": ", tokens, " tokens, expected at least ", needed, " for one sequence"));
}

}  // namespace

Samples Windows(const std::vector<int32_t>& ids, int64_t length) {
  CheckLength(length);
  Samples windows;
  const auto size = static_cast<int64_t>(ids.size());
  for (int64_t begin = 0; size - begin >= length; begin += length) {
    windows.push_back(Slice(ids, begin, length));
  }
  return windows;
}

Samples RandomWindows(const std::vector<std::string>& documents, const Tokenizer& tokenizer,
                      int64_t count, int64_t length, uint64_t seed, JustLongEnough just,
                      const std::string& what) {
  CheckLength(length);
  const auto document_count = static_cast<int64_t>(documents.size());
  const int64_t needed = just == JustLongEnough::kWhole ? length : length + 1;
  std::vector<bool> is_short(documents.size());
  int64_t short_count = 0;
  PythonRandom random(seed);
  Samples windows;
  while (static_cast<int64_t>(windows.size()) < count) {
    SQ_CHECK(short_count < document_count, what, ": no document has ", needed, " tokens (",
             document_count, " documents)");
    const int64_t drawn = random.RandInt(0, document_count - 1);
    if (is_short[drawn]) continue;
    const std::vector<int32_t> ids = tokenizer.Encode(documents[drawn]);
    const auto size = static_cast<int64_t>(ids.size());
    if (size < needed) {
      is_short[drawn] = true;
      ++short_count;
      continue;
    }
    const int64_t start = size > length ? random.RandInt(0, size - length - 1) : 0;
    windows.push_back(Slice(ids, start, length));
  }
  return windows;
}

TokenSamples EvaluationWindows(const std::string& name, const Tokenizer& tokenizer,
                               const EvaluationOptions& options) {
  const int64_t length = options.sequence_length;
  CheckLength(length);
  const DataSet* set = nullptr;
  const Rows data =
      ReadNamed(name, Purpose::kEvaluation, options.data_dir, options.text_field, &set);
  int64_t limit = set != nullptr ? set->max_windows : 0;
  if (options.max_windows > 0) {
    limit = limit > 0 ? std::min(limit, options.max_windows) : options.max_windows;
  }
  TokenSamples result{data.source, {}, data.files};
  if (set != nullptr && set->cut == Cut::kRandomDocuments) {
    result.samples = RandomWindows(data.rows, tokenizer, limit, length, /*seed=*/0,
                                   JustLongEnough::kDrawAgain, data.source);
    return result;
  }
  const std::vector<int32_t> ids =
      tokenizer.Encode(Join(data.rows, set != nullptr ? set->separator : "\n\n"));
  result.samples = Windows(ids, length);
  if (result.samples.empty()) TooShort(data.source, static_cast<int64_t>(ids.size()), length);
  if (limit > 0 && static_cast<int64_t>(result.samples.size()) > limit) {
    result.samples.resize(limit);
  }
  return result;
}

TokenSamples CalibrationSamples(const std::string& name, const Tokenizer& tokenizer,
                                const CalibrationOptions& options) {
  const int64_t length = options.sequence_length;
  CheckLength(length);
  SQ_CHECK(options.samples >= 1, "samples: expected at least 1, found ", options.samples);
  const DataSet* set = nullptr;
  const Rows data =
      ReadNamed(name, Purpose::kCalibration, options.data_dir, options.text_field, &set);
  TokenSamples result{data.source, {}, data.files};
  if (set != nullptr && set->cut == Cut::kRandomDocuments) {
    result.samples = RandomWindows(data.rows, tokenizer, options.samples, length, options.seed,
                                   JustLongEnough::kWhole, data.source);
    return result;
  }
  if (set != nullptr) {
    const std::vector<int32_t> ids = tokenizer.Encode(Join(data.rows, set->separator));
    const auto size = static_cast<int64_t>(ids.size());
    if (size <= length) TooShort(data.source, size, length + 1);
    result.samples = RandomWindowsOfText(ids, options.samples, length, options.seed);
    return result;
  }
  // Ids that are not in a sample yet. Only as many documents as needed are tokenized.
  std::vector<int32_t> rest;
  int64_t total = 0;
  for (const std::string& document : data.rows) {
    const std::vector<int32_t> ids = tokenizer.Encode(document);
    total += static_cast<int64_t>(ids.size());
    rest.insert(rest.end(), ids.begin(), ids.end());
    int64_t used = 0;
    while (static_cast<int64_t>(rest.size()) - used >= length) {
      result.samples.push_back(Slice(rest, used, length));
      used += length;
      if (static_cast<int64_t>(result.samples.size()) == options.samples) return result;
    }
    rest.erase(rest.begin(), rest.begin() + used);
  }
  if (result.samples.empty()) TooShort(data.source, total, length);
  return result;
}

}  // namespace sq
