// What the three tools share: common flags, exit codes, one place that catches.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "sq/model/device.h"

namespace sq {

struct OpenOptions;

// Exit codes of the contract.
constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;  // the input or the environment is at fault
constexpr int kExitUsage = 2;   // the command line is
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

// --ignore-config-field, --strict: how a model folder is taken.
void AddOpenOptions(CLI::App& app, OpenOptions* open);

// --device: auto, cpu, cuda or cuda:N. To be given to UseDevice.
void AddDeviceOption(CLI::App& app, std::string* device);

// ChooseDevice, which the log tells of.
Device UseDevice(const std::string& flag);

// An option that takes "512M", "1.5GiB" or plain bytes.
CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, int64_t* bytes,
                           const std::string& help);

// Parses, sets up log, threads and signals, and runs `body`, which returns an exit code. Every
// exception becomes one line on stderr and its code.
int RunTool(CLI::App& app, int argc, char** argv, const CommonFlags& flags,
            const std::function<int()>& body);

}  // namespace sq
