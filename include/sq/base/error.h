// Errors. A user's fault (file, flag, shape) is a sq::Error with one line that names the file, the
// tensor, what was expected and what was found; a broken invariant of ours is an SQ_DCHECK.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

// What went wrong in one line fit to be shown to a user. The tools print it and exit with 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// A memory will not do; the message says how much was wanted. The tools add which flags need less.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// The run was asked to stop (SIGINT, SIGTERM) and has kept its state. The tools exit with 130.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

// Concatenates the arguments as operator<< prints them.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// `text` for use in a message: in double quotes, on one line (control characters and bytes that are
// not UTF-8 as \xNN) and cut off after some 80 bytes.
std::string Quoted(std::string_view text);

// Whether `text` is UTF-8 without control characters: fit to be printed as it is.
bool IsPrintable(std::string_view text);

// The first six of `names` for use in a message, each as it is or, where it could not be printed,
// as Quoted; and how many more there are.
std::string NameList(const std::vector<std::string>& names);

// Product and sum of sizes that come from files: throws sq::Error, naming `what`, when an operand
// is negative or the result does not fit int64.
int64_t CheckedMultiply(int64_t a, int64_t b, const std::string& what);
int64_t CheckedAdd(int64_t a, int64_t b, const std::string& what);

namespace internal {
[[noreturn]] void InvariantFailed(const char* file, int line, const char* condition);
}  // namespace internal

}  // namespace sq

// Throws sq::Error with the concatenated arguments unless `condition` holds.
#define SQ_CHECK(condition, ...)                                    \
  do {                                                              \
    if (!(condition)) throw ::sq::Error(::sq::StrCat(__VA_ARGS__)); \
  } while (false)

// Aborts when an invariant of this code is broken; costs nothing in release builds.
#ifdef NDEBUG
#define SQ_DCHECK(condition) \
  do {                       \
  } while (false && (condition))
#else
#define SQ_DCHECK(condition)                                                           \
  do {                                                                                 \
    if (!(condition)) ::sq::internal::InvariantFailed(__FILE__, __LINE__, #condition); \
  } while (false)
#endif
