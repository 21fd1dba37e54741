#include "sq/text/documents.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"

namespace sq {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{4} << 30;
constexpr int64_t kMaxTokenFileBytes = int64_t{1} << 30;

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool IsPlainText(const std::string& path) {
  return EndsWith(path, ".txt") || EndsWith(path, ".raw");
}

bool IsJsonLines(const std::string& path) {
  const auto ends = {".jsonl", ".json", ".jsonl.gz", ".json.gz"};
  return std::any_of(ends.begin(), ends.end(),
                     [&](const char* end) { return EndsWith(path, end); });
}

bool IsParquet(const std::string& path) { return EndsWith(path, ".parquet"); }

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void AppendJsonLines(const std::string& path, const std::string& column,
                     std::vector<std::string>* documents) {
  ForEachLine(path, [&](std::string_view line, int64_t number) {
    if (IsBlank(line)) return;
    const std::string what = StrCat(path, ", line ", number);
    documents->push_back(JsonString(ParseJson(line, what), column, what));
  });
}

// Line ends as Python's open() gives them, which all published figures were taken through: "\r\n"
// and a lone "\r" become "\n".
std::string UniversalNewlines(std::string text) {
  size_t to = 0;
  for (size_t from = 0; from < text.size(); ++from) {
    const bool pair = text[from] == '\r' && from + 1 < text.size() && text[from + 1] == '\n';
    if (pair) ++from;
    text[to++] = text[from] == '\r' ? '\n' : text[from];
  }
  text.resize(to);
  return text;
}

void AppendFile(const std::string& path, const std::string& column,
                std::vector<std::string>* documents) {
  SQ_CHECK(!IsParquet(path), NotParquet(path));
  if (IsPlainText(path)) {
    documents->push_back(UniversalNewlines(ReadFile(path, kMaxTextBytes)));
  } else {
    SQ_CHECK(IsJsonLines(path), path,
             ": expected a name that ends in .txt, .jsonl, .json, .jsonl.gz or .json.gz");
    AppendJsonLines(path, column, documents);
  }
}

}  // namespace

void ForEachLine(const std::string& path,
                 const std::function<void(std::string_view, int64_t)>& visit) {
  SQ_CHECK(FileExists(path), path, ": no such file");
  SQ_CHECK(IsRegularFile(path), path, ": not a regular file");
  errno = 0;
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  SQ_CHECK(file, path, ": cannot be opened: ", std::strerror(errno));
  std::array<char, 1 << 16> buffer;
  gzbuffer(file.get(), 1 << 17);
  std::string begun;  // a line of which the end has not been read yet
  int64_t number = 0;
  while (true) {
    const int count = gzread(file.get(), buffer.data(), buffer.size());
    // gzread hands out what it has of a file that is cut off; the error shows with the last of it.
    int error = Z_OK;
    const char* message = gzerror(file.get(), &error);
    SQ_CHECK(count >= 0 && (error == Z_OK || error == Z_STREAM_END), path, ", after line ", number,
             ": ", error == Z_ERRNO ? std::strerror(errno) : message);
    if (count == 0) break;
    std::string_view rest(buffer.data(), static_cast<size_t>(count));
    for (size_t end; (end = rest.find('\n')) != std::string_view::npos;) {
      if (begun.empty()) {
        visit(rest.substr(0, end), ++number);
      } else {
        begun.append(rest, 0, end);
        visit(begun, ++number);
        begun.clear();
      }
      rest.remove_prefix(end + 1);
    }
    begun.append(rest);
  }
  if (!begun.empty()) visit(begun, ++number);
}

bool IsDocumentName(const std::string& name) { return IsPlainText(name) || IsJsonLines(name); }

std::string NotParquet(const std::string& path) {
  return StrCat(path, ": Parquet is not read; scripts/fetch_data.py ", path,
                " converts it to JSON lines");
}

std::vector<std::string> ReadDocuments(const std::string& path, const std::string& column) {
  std::vector<std::string> documents;
  if (!IsFolder(path)) {
    AppendFile(path, column, &documents);
    return documents;
  }
  bool any = false;
  std::string parquet;
  for (const std::string& name : FolderNames(path)) {
    const std::string file = (std::filesystem::path(path) / name).string();
    if (IsParquet(name)) parquet = file;
    if (!IsRegularFile(file) || !IsDocumentName(name)) continue;
    AppendFile(file, column, &documents);
    any = true;
  }
  SQ_CHECK(any || parquet.empty(), NotParquet(parquet));
  SQ_CHECK(any, path, ": no .txt, .jsonl or .json.gz file in this folder");
  return documents;
}

std::vector<std::vector<int32_t>> ReadTokenLists(const std::string& path) {
  const nlohmann::json file = ReadJsonFile(path, kMaxTokenFileBytes);
  SQ_CHECK(file.is_array() && !file.empty(), path,
           ": expected a list of lists of token ids, found ",
           file.is_array() ? "an empty list" : JsonTypeName(file));
  std::vector<std::vector<int32_t>> lists;
  lists.reserve(file.size());
  for (const nlohmann::json& list : file) {
    const auto where = [&] { return StrCat(path, ": list ", lists.size()); };
    SQ_CHECK(list.is_array() && !list.empty(), where(), ": expected a list of token ids, found ",
             list.is_array() ? "an empty list" : JsonTypeName(list));
    std::vector<int32_t> ids;
    ids.reserve(list.size());
    for (const nlohmann::json& id : list) {
      SQ_CHECK(id.is_number_integer() && id >= 0 && id <= std::numeric_limits<int32_t>::max(),
               where(), ": expected ids from 0 to 2147483647, found ",
               id.is_number_integer() ? id.dump() : JsonTypeName(id), " at place ", ids.size());
      ids.push_back(id.get<int32_t>());
    }
    lists.push_back(std::move(ids));
  }
  return lists;
}

}  // namespace sq
