// Logging to stderr; stdout is for results. Only `pipeline` and the tools log.
#pragma once

#include <string>

namespace sq {

enum class LogLevel { kQuiet, kWarning, kInfo, kDebug };

// Sets the most detailed level that is printed; the default is kInfo. Call before threads start.
void SetLogLevel(LogLevel level);

// Whether LogInfo prints; progress displays depend on it.
bool LogsInfo();

void LogWarning(const std::string& message);
void LogInfo(const std::string& message);
void LogDebug(const std::string& message);

}  // namespace sq
