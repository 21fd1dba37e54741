// Token ids in JSON files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// Whether `path` is, by its name, a JSON file (.json, also .gz, .zst) and contains token ids rather
// than texts, that is, an array whose first element is neither a string nor an object. False if the
// file does not exist.
bool HoldsTokenLists(const std::string& path);

// Reads a JSON list of lists of token ids, in a file as TextFile accepts. Throws sq::Error naming
// the file and the list unless there is at least one list, none is empty, and every id is an
// integer in [0, 2^31).
std::vector<std::vector<int32_t>> ReadTokenLists(const std::string& path);

}  // namespace sq
