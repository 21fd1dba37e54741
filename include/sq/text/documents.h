// Texts from files and folders: which files hold documents, and which documents they hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sq {

// How a file holds its documents, by its name.
enum class DocumentForm {
  kText,       // .txt, .raw
  kJsonLines,  // .jsonl
  kJson,       // .json
};

// The form that a name ends in, in any case and also with .gz or .zst behind it; none where it is
// no document's.
std::optional<DocumentForm> FormOf(const std::string& name);

// What there was at a path: names from there on, those of files left aside with the reason where
// it is not their own.
struct DocumentFiles {
  std::vector<std::string> read, left_out;
};

struct Documents {
  std::vector<std::string> texts;
  DocumentFiles files;
};

// The documents of a file, in order:
//   .txt, .raw       one document, the whole file, its line ends read as "\n" whatever they are (as
//                    Python's open() does)
//   .jsonl, .json    as ReadJsonDocuments says, `field` being the name of a text in an object
// or of a folder and the folders in it: of all files with such names, in order of their paths from
// there (bytewise). Left aside are other files; what is hidden (.git, .cache, ._a.txt); links to
// folders, which may lead in circles; a packed file beside the same one unpacked; and a .json file
// that is one object without `field` (dataset_info.json). Throws sq::Error naming the file (and its
// line) for anything else, and when a folder has no document. Everything is held in memory.
Documents ReadDocuments(const std::string& path, const std::string& field = "text");

// What ReadDocuments would read from a folder before it looks into the files.
DocumentFiles FindDocuments(const std::string& folder);

// What `files` says, in one line: "2 files read (a.jsonl, b.txt); left aside: README.md". Empty for
// one file and nothing left aside.
std::string FilesText(const DocumentFiles& files);

// What to say where only a file in Parquet's format was found.
std::string NotParquet(const std::string& path);

}  // namespace sq
