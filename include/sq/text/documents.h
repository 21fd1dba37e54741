// Reads texts and token-id lists from files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

// Calls `visit(line, number)` for each line of the file at `path`, plain or compressed by gzip,
// numbered from 1 and without its line feed; a last line without one counts. Lines may be of any
// length; a line is valid only during its call. Throws sq::Error for a file that cannot be read or
// ends early.
void ForEachLine(const std::string& path,
                 const std::function<void(std::string_view, int64_t)>& visit);

// The documents of a file, in order:
//   .txt, .raw                      one document, the whole file, its line ends read as "\n"
//                                   whatever they are (as Python's open() does)
//   .jsonl, .json, also with .gz    one JSON object a line; its `column` is the document; blank
//                                   lines count for nothing
// or of a folder: of all its files with such names, in order of their names (bytewise), other files
// left aside, subfolders too. Throws sq::Error naming the file (and its line) for anything else,
// and when a folder has no such file. Everything is held in memory.
std::vector<std::string> ReadDocuments(const std::string& path, const std::string& column = "text");

// Whether a name ends as one of the above.
bool IsDocumentName(const std::string& name);

// What to say where only a file in Parquet's format was found.
std::string NotParquet(const std::string& path);

// A JSON list of lists of token ids. Throws sq::Error naming the file and the list unless there is
// at least one list, none is empty, and every id is a whole number in [0, 2^31).
std::vector<std::vector<int32_t>> ReadTokenLists(const std::string& path);

}  // namespace sq
