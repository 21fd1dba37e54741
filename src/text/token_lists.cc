#include "sq/text/token_lists.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/documents.h"
#include "sq/text/text_file.h"

namespace sq {
namespace {

constexpr int64_t kMaxTokenFileBytes = int64_t{1} << 30;

}  // namespace

bool HoldsTokenLists(const std::string& path) {
  if (!IsRegularFile(path) || FormOf(path) != DocumentForm::kJson) return false;
  TextFile file(path);
  std::string begin;  // the first two characters that are not white space
  for (std::string text; begin.size() < 2 && file.Append(&text); text.clear()) {
    for (const char c : text) {
      if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) begin += c;
      if (begin.size() == 2) break;
    }
  }
  return begin.size() == 2 && begin[0] == '[' && begin[1] != '"' && begin[1] != '{';
}

std::vector<std::vector<int32_t>> ReadTokenLists(const std::string& path) {
  const nlohmann::json file = ParseJson(ReadText(path, kMaxTokenFileBytes), path);
  SQ_CHECK(file.is_array() && !file.empty(), path,
           ": expected a list of lists of token ids, found ",
           file.is_array() ? "an empty list" : JsonTypeName(file));
  std::vector<std::vector<int32_t>> lists;
  lists.reserve(file.size());
  for (const nlohmann::json& list : file) {
    const auto where = [&] { return StrCat(path, ": list ", lists.size()); };
    SQ_CHECK(!list.is_string() && !list.is_object(), where(),
             ": expected a list of token ids, found a text; texts are read by --dataset, "
             "--calibration and --tokenize");
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
