#include "sq/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace sq {
namespace {

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_color_mt("sq");
    made->set_pattern("%^%L%$ %T %v");
    return made;
  }();
  return *logger;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kQuiet: return Logger().set_level(spdlog::level::off);
    case LogLevel::kWarning: return Logger().set_level(spdlog::level::warn);
    case LogLevel::kInfo: return Logger().set_level(spdlog::level::info);
    case LogLevel::kDebug: return Logger().set_level(spdlog::level::debug);
  }
}

bool LogsInfo() { return Logger().should_log(spdlog::level::info); }

void LogWarning(const std::string& message) { Logger().warn("{}", message); }
void LogInfo(const std::string& message) { Logger().info("{}", message); }
void LogDebug(const std::string& message) { Logger().debug("{}", message); }

}  // namespace sq
