// Texts in JSON files, in the forms that data sets have: lines, arrays, strings, objects.
#pragma once

#include <string>
#include <vector>

namespace sq {

struct JsonDocuments {
  std::vector<std::string> texts;
  // Why the file holds none though it is sound: it is one object, and without the field, as files
  // that describe a data set are (dataset_info.json). Empty otherwise.
  std::string none;
};

// The texts in the file at `path` (see TextFile), in order. It holds JSON values, each beginning on
// a line of its own: JSON lines, or one value over as many lines as it likes. A value is a text, or
// an array of texts; a text is a string, or an object that has it under the name `field`. Blank
// lines count for nothing. Throws sq::Error naming the file, the line and the element of an array
// for anything else, and says what to do where that is known: another field, messages of a chat,
// token ids.
JsonDocuments ReadJsonDocuments(const std::string& path, const std::string& field);

}  // namespace sq
