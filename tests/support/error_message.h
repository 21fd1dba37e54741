// What a failing call says.
#pragma once

#include <string>

#include "sq/base/error.h"

namespace sq::test {

// The message of the sq::Error that `body` throws; empty when it throws none.
template <typename Body>
std::string MessageOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace sq::test
