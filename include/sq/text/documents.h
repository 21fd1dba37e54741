// Reads documents from text and JSON files and from folders of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sq {

// Format of a file of documents, by its name.
enum class DocumentForm {
  kText,       // .txt, .raw
  kJsonLines,  // .jsonl
  kJson,       // .json
};

// The format for the extension of `name`, case-insensitive, with or without .gz or .zst after it;
// empty if the name is not that of a document.
std::optional<DocumentForm> FormOf(const std::string& name);

// The files found at a path, by their relative names; skipped ones with the reason, unless the name
// itself is the reason.
struct DocumentFiles {
  std::vector<std::string> read, left_out;
};

struct Documents {
  std::vector<std::string> texts;
  DocumentFiles files;
};

// The documents of a file, in order:
//   .txt, .raw       one document, the whole file, with all line ends converted to "\n" (as by
//                    Python's open())
//   .jsonl, .json    as ReadJsonDocuments says, `field` being the name of a text in an object
// or of a folder and the folders in it: of all files with such names, in order of their paths from
// there (bytewise). Skipped are: other files; hidden ones (.git, .cache, ._a.txt); links to
// folders, which may form cycles; a compressed file beside the same file uncompressed; and a .json
// file that is one object without `field` (dataset_info.json). Throws sq::Error naming the file
// (and its line) for anything else, and when a folder has no documents. All texts are held in
// memory.
Documents ReadDocuments(const std::string& path, const std::string& field = "text");

// The files that ReadDocuments would read from a folder, without opening them.
DocumentFiles FindDocuments(const std::string& folder);

// `files` in one line: "2 files read (a.jsonl, b.txt); skipped: README.md". Empty if one file
// was read and none skipped.
std::string FilesText(const DocumentFiles& files);

// The error message when only a Parquet file was found.
std::string NotParquet(const std::string& path);

}  // namespace sq
