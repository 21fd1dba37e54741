// Texts in JSON files, in the layouts that data sets use: JSON lines, arrays, strings, objects.
#pragma once

#include <string>
#include <vector>

namespace sq {

struct JsonDocuments {
  std::vector<std::string> texts;
  // Why a valid file has no texts: it is a single object without the field, like files that
  // describe a data set (dataset_info.json). Empty otherwise.
  std::string none;
};

// The texts in the file `path` (see TextFile), in order. The file consists of JSON values, each
// starting on a new line: JSON lines, or one value over several lines. A value is a text or an
// array of texts; a text is a string, or an object with a string under the key `field`. Blank lines
// are skipped. Throws sq::Error naming the file, the line and the array element for anything else,
// with a hint if the cause is recognized: another field, chat messages, token ids.
JsonDocuments ReadJsonDocuments(const std::string& path, const std::string& field);

}  // namespace sq
