#include "sq/base/placeholder.h"

#include <algorithm>
#include <cctype>

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr char kPointer[] =
    "a git-lfs pointer, not the file itself; `git lfs pull` in its folder fetches that";
constexpr char kPage[] =
    "an HTML page, not the file itself; download it anew (on the hub the page of a file has /blob/ "
    "in its address, the file /resolve/)";
constexpr char kRefusal[] =
    "a server's refusal, not the file itself; download it anew (gated and private repositories "
    "want a token)";

// The start of such files, in lower case.
struct Kind {
  std::string_view begin;
  size_t max_bytes;  // longer files are not placeholders
  const char* text;
};

constexpr size_t kAnySize = std::string_view::npos;
constexpr Kind kKinds[] = {
    // The git-lfs specification limits pointers to less than 1024 bytes; the second form is that of
    // its first releases.
    {"version https://git-lfs.github.com/spec/", 1023, kPointer},
    {"version https://hawser.github.com/spec/", 1023, kPointer},
    {"<!doctype html", kAnySize, kPage},
    {"<html>", kAnySize, kPage},
    {"<html ", kAnySize, kPage},
    // Replies of the Hugging Face hub instead of a file.
    {"entry not found", 32, kRefusal},
    {"repository not found", 32, kRefusal},
    {"invalid username or password.", 32, kRefusal},
    {"access to model ", 400, kRefusal},
    {"access to dataset ", 400, kRefusal},
    // Replies of its storage backends (S3, CloudFront).
    {"<?xml version=\"1.0\" encoding=\"utf-8\"?><error>", kAnySize, kRefusal},
    {"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<error>", kAnySize, kRefusal},
};

bool BeginsWith(std::string_view text, std::string_view lower_case) {
  if (text.size() < lower_case.size()) return false;
  for (size_t i = 0; i < lower_case.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != lower_case[i]) return false;
  }
  return true;
}

}  // namespace

std::string PlaceholderText(std::string_view bytes) {
  const size_t size = bytes.size();
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (bytes.substr(0, kByteOrderMark.size()) == kByteOrderMark) bytes.remove_prefix(3);
  bytes.remove_prefix(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
  for (const Kind& kind : kKinds) {
    if (size <= kind.max_bytes && BeginsWith(bytes, kind.begin)) return kind.text;
  }
  return "";
}

void CheckNoPlaceholder(std::string_view bytes, const std::string& path) {
  const std::string text = PlaceholderText(bytes.substr(0, kPlaceholderBytes));
  SQ_CHECK(text.empty(), path, ": ", text);
}

}  // namespace sq
