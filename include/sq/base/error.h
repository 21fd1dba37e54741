// Errors. Bad input (a file, a flag, a shape) throws sq::Error with a one-line message that names
// the file, the tensor, what was expected and what was found. A broken internal invariant is caught
// by SQ_DCHECK.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

// An error described in one line for the user. The tools print it and exit with 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// Out of host or device memory; the message says how much was requested. The tools add which flags
// reduce memory use.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// The process was asked to stop (SIGINT or SIGTERM) and stopped at a safe point. The tools exit
// with 130.
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

// `text` for use in a message: in double quotes, on one line (control characters and invalid UTF-8
// bytes as \xNN), truncated after about 80 bytes.
std::string Quoted(std::string_view text);

// Whether `text` is valid UTF-8 without control characters, so that it can be printed unchanged.
bool IsPrintable(std::string_view text);

// The first six of `names` for use in a message, followed by the number of the rest. Names that are
// not printable are Quoted.
std::string NameList(const std::vector<std::string>& names);

// Product and sum of sizes read from files. Throws sq::Error, naming `what`, when an operand is
// negative or the result overflows int64.
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

// Aborts when an internal invariant is broken; compiled out in release builds.
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
