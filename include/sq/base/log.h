// Log lines on stderr; stdout belongs to results. Only `pipeline` and the tools log.
#pragma once

#include <string>

namespace sq {

enum class LogLevel { kQuiet, kWarning, kInfo, kDebug };

// Chooses what is printed from now on; the default is kInfo. Call once, before threads start.
void SetLogLevel(LogLevel level);

// Whether LogInfo prints at present; what draws progress asks.
bool LogsInfo();

void LogWarning(const std::string& message);
void LogInfo(const std::string& message);
void LogDebug(const std::string& message);

}  // namespace sq
