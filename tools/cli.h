// What the three tools share: common options, exit codes, and the one place that catches
// exceptions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "sq/model/device.h"

namespace sq {

struct OpenOptions;

// Exit codes, documented in tools/README.md.
constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;  // bad input, or a failure of the environment
constexpr int kExitUsage = 2;   // bad command line
constexpr int kExitGate = 3;    // a regression gate failed
constexpr int kExitInterrupted = 130;

struct CommonFlags {
  int threads = 0;
  bool quiet = false;
  bool verbose = false;
  std::string json;
};

// --threads, --quiet, --verbose, --version.
void AddCommonFlags(CLI::App& app, CommonFlags* flags);

// --ignore-config-field, --strict: how strictly a model folder is checked.
void AddOpenOptions(CLI::App& app, OpenOptions* open);

// --data-dir and --text-field: where data sets are found and how they are read.
void AddDataOptions(CLI::App& app, std::string* data_dir, std::string* text_field);

// --device: auto, cpu, cuda or cuda:N; the value is meant for UseDevice.
void AddDeviceOption(CLI::App& app, std::string* device);

// --dtype: auto, float32 or bfloat16.
void AddDtypeOption(CLI::App& app, std::string* dtype, const std::string& help);

// ChooseDevice; logs the choice.
Device UseDevice(const std::string& flag);

// An option that accepts "512M", "1.5GiB" or a number of bytes.
CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, int64_t* bytes,
                           const std::string& help);

// "run: COMMAND", quoted for a POSIX shell, where COMMAND is the given command line with `flag`
// inserted after the program's name unless it is there. Arguments that do not fit one printable
// line give "run the same command with FLAG".
std::string RerunHint(int argc, char** argv, const std::string& flag);

// Parses the command line, sets up logging, threads and signals, and runs `body`, which returns an
// exit code. Every exception becomes one line on stderr and an exit code. `on_interrupt` completes
// the line "interrupted; ...": what has become of the tool's work and how to continue it.
int RunTool(CLI::App& app, int argc, char** argv, const CommonFlags& flags,
            const std::string& on_interrupt, const std::function<int()>& body);

}  // namespace sq
