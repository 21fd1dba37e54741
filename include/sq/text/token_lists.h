// Token ids in JSON files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// Whether `path` is a JSON file by its name (.json, also .gz, .zst) that holds token ids rather
// than texts: an array that begins with neither a string nor an object. False where there is no
// such file.
bool HoldsTokenLists(const std::string& path);

// A JSON list of lists of token ids, in a file read as TextFile does. Throws sq::Error naming the
// file and the list unless there is at least one list, none is empty, and every id is a whole
// number in [0, 2^31).
std::vector<std::vector<int32_t>> ReadTokenLists(const std::string& path);

}  // namespace sq
