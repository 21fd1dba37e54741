#include "sq/text/documents.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/json_documents.h"
#include "sq/text/text_file.h"
#include "sq/text/unpacked_file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxTextBytes = int64_t{4} << 30;

std::string LowerCaseExtension(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

bool IsParquet(const std::string& path) { return LowerCaseExtension(path) == ".parquet"; }

bool IsHidden(const fs::path& path) { return path.filename().string().front() == '.'; }

// Line ends as converted by Python's open(), which all published figures used: "\r\n" and a lone
// "\r" become "\n".
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

// The documents in a file. If the file is valid but has none, `none` says why.
JsonDocuments ReadOne(const std::string& path, const std::string& field) {
  SQ_CHECK(!IsParquet(path), NotParquet(path));
  const std::optional<DocumentForm> form = FormOf(path);
  SQ_CHECK(form.has_value(), path,
           ": expected a name that ends in .txt, .raw, .jsonl or .json, or in one of them and .gz "
           "or .zst");
  if (*form != DocumentForm::kText) return ReadJsonDocuments(path, field);
  return {{UniversalNewlines(ReadText(path, kMaxTextBytes))}, ""};
}

// Sorted paths of all files below `folder`, without hidden ones and the contents of hidden folders.
std::vector<std::string> NamesBelow(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    std::error_code ignored;  // what cannot be queried is not a folder
    const bool is_folder = entry->is_directory(ignored) && !entry->is_symlink(ignored);
    if (IsHidden(path)) {
      if (is_folder) entry.disable_recursion_pending();
    } else if (!is_folder) {
      names.push_back(path.lexically_relative(folder).string());
    }
  }
  SQ_CHECK(!error, folder.string(), ": ", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

void AppendFolder(const std::string& path, const std::string& field, Documents* documents) {
  const DocumentFiles found = FindDocuments(path);
  documents->files.left_out = found.left_out;
  for (const std::string& name : found.read) {
    JsonDocuments read = ReadOne((fs::path(path) / name).string(), field);
    const bool describes = !read.none.empty() && FormOf(name) == DocumentForm::kJson;
    SQ_CHECK(describes || read.none.empty(), read.none);
    if (describes) {
      documents->files.left_out.push_back(StrCat(name, " (no ", Quoted(field), ")"));
      continue;
    }
    documents->files.read.push_back(name);
    std::move(read.texts.begin(), read.texts.end(), std::back_inserter(documents->texts));
  }
}

}  // namespace

std::optional<DocumentForm> FormOf(const std::string& name) {
  const std::string extension = LowerCaseExtension(UnpackedName(name));
  if (extension == ".txt" || extension == ".raw") return DocumentForm::kText;
  if (extension == ".jsonl") return DocumentForm::kJsonLines;
  if (extension == ".json") return DocumentForm::kJson;
  return std::nullopt;
}

std::string NotParquet(const std::string& path) {
  return StrCat(path, ": Parquet is not read; scripts/fetch_data.py ", path,
                " converts it to JSON lines");
}

DocumentFiles FindDocuments(const std::string& folder) {
  DocumentFiles files;
  std::set<std::string> unpacked;  // names without .gz and .zst of the files to be read
  for (const std::string& name : NamesBelow(folder)) {
    const std::string path = (fs::path(folder) / name).string();
    std::string reason;
    if (IsDanglingLink(path)) {
      reason = " (a link to what is not there)";
    } else if (IsFolder(path)) {
      reason = " (a link to a folder)";
    } else if (!FormOf(name)) {
      files.left_out.push_back(name);
      continue;
    } else if (!IsRegularFile(path)) {
      reason = " (not a regular file)";
    } else if (!unpacked.insert(UnpackedName(name)).second) {
      reason = " (the same packed)";
    } else {
      files.read.push_back(name);
      continue;
    }
    files.left_out.push_back(name + reason);
  }
  return files;
}

std::string FilesText(const DocumentFiles& files) {
  if (files.read.size() == 1 && files.left_out.empty()) return "";
  std::string text = StrCat(files.read.size(), files.read.size() == 1 ? " file" : " files",
                            " read (", NameList(files.read), ")");
  if (!files.left_out.empty()) text += "; skipped: " + NameList(files.left_out);
  return text;
}

Documents ReadDocuments(const std::string& path, const std::string& field) {
  Documents documents;
  if (!IsFolder(path)) {
    JsonDocuments read = ReadOne(path, field);
    SQ_CHECK(read.none.empty(), read.none);
    documents.texts = std::move(read.texts);
    documents.files.read.push_back(fs::path(path).filename().string());
    return documents;
  }
  AppendFolder(path, field, &documents);
  const std::vector<std::string>& left_out = documents.files.left_out;
  if (!documents.files.read.empty()) return documents;
  const auto parquet = std::find_if(left_out.begin(), left_out.end(), IsParquet);
  SQ_CHECK(parquet == left_out.end(), NotParquet((fs::path(path) / *parquet).string()));
  throw Error(StrCat(path, ": no document (.txt, .raw, .jsonl, .json) in this folder",
                     left_out.empty() ? "" : "; skipped: " + NameList(left_out)));
}

}  // namespace sq
