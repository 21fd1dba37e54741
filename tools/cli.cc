#include "tools/cli.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "sq/base/cpu.h"
#include "sq/base/error.h"
#include "sq/base/log.h"
#include "sq/base/parallel.h"
#include "sq/base/process.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/model/device.h"
#include "sq/model/runtime.h"
#include "sq/model/transformer.h"

namespace sq {
namespace {

void PrintError(const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
}

void SetUp(const CommonFlags& flags) {
  SetLogLevel(flags.quiet     ? LogLevel::kWarning
              : flags.verbose ? LogLevel::kDebug
                              : LogLevel::kInfo);
  SetThreadCount(flags.threads);
  SetUpLibTorch();
  TakeFileSizeErrors();
  CatchInterrupts();
  ExplainBusErrors();
}

// `word` as a POSIX shell takes it back.
std::string ShellWord(const std::string& word) {
  constexpr char kPlain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

void AddCommonFlags(CLI::App& app, CommonFlags* flags) {
  app.add_option("--threads", flags->threads, "Threads to use; 0: one per available processor")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_flag("--quiet,-q", flags->quiet, "Only warnings on stderr: no log, no progress");
  app.add_flag("--verbose,-v", flags->verbose, "More log on stderr");
  app.set_version_flag("--version", [] {
    return StrCat("squeezellm ", Version(), ", LibTorch ", LibTorchVersion(), ", ", CpuText());
  });
}

void AddOpenOptions(CLI::App& app, OpenOptions* open) {
  app.add_option(
         "--ignore-config-field", open->ignore_config_fields,
         "Ignore this field of config.json instead of failing because it is unknown; may be "
         "given several times")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NAME");
  app.add_flag("--strict", open->strict, "Unused tensors are an error instead of a warning");
}

void AddDataOptions(CLI::App& app, std::string* data_dir, std::string* text_field) {
  app.add_option("--data-dir", *data_dir, "Folder of the named data sets [SQ_DATA_DIR]");
  app.add_option("--text-field", *text_field, "Key of the text in JSON objects")
      ->capture_default_str();
}

void AddDeviceOption(CLI::App& app, std::string* device) {
  app.add_option("--device", *device,
                 "Where to compute: auto (a CUDA device if there is one), cpu, cuda or cuda:N")
      ->check([](const std::string& text) {
        return IsDeviceFlag(text) ? "" : "expected auto, cpu, cuda or cuda:N, found " + text;
      })
      ->type_name("DEVICE")
      ->capture_default_str();
}

void AddDtypeOption(CLI::App& app, std::string* dtype, const std::string& help) {
  app.add_option("--dtype", *dtype, help)
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
}

Device UseDevice(const std::string& flag) {
  std::string why_not;
  const Device device = ChooseDevice(flag, &why_not);
  LogInfo(StrCat("computing on ", device.cuda ? DeviceName(device) : "the CPU",
                 why_not.empty() ? "" : ": " + why_not));
  return device;
}

CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, int64_t* bytes,
                           const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [name, bytes](const std::string& text) {
            // AsSizeValue turns "512M" into "536870912" or returns an error message.
            std::string number = text;
            const std::string problem = CLI::AsSizeValue(/*kb_is_1000=*/false)(number);
            const char* end = number.data() + number.size();
            const auto [stop, error] = std::from_chars(number.data(), end, *bytes);
            if (!problem.empty() || error != std::errc() || stop != end || *bytes < 0) {
              throw CLI::ValidationError(name,
                                         "expected a size such as 512M or 2GiB, found " + text);
            }
          },
          help)
      ->type_name("SIZE");
}

std::string RerunHint(int argc, char** argv, const std::string& flag) {
  const std::vector<std::string> given(argv + 1, argv + argc);
  std::string command = ShellWord(argv[0]);
  // At the front, where a "--" cannot make it a positional argument.
  if (std::find(given.begin(), given.end(), flag) == given.end()) command += " " + flag;
  for (const std::string& word : given) command += " " + ShellWord(word);
  return IsPrintable(command) ? "run: " + command : "run the same command with " + flag;
}

int RunTool(CLI::App& app, int argc, char** argv, const CommonFlags& flags,
            const std::string& on_interrupt, const std::function<int()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version also throw, with exit code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    // CLI11 reports a missing argument first, even when a misspelt flag is the cause.
    const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
    unknown.empty() ? app.exit(error) : app.exit(CLI::ExtrasError(app.get_name(), unknown));
    return kExitUsage;
  }
  try {
    SetUp(flags);
    const int code = body();
    SQ_CHECK(std::fflush(stdout) == 0 && std::ferror(stdout) == 0,
             "standard output: cannot write: ", std::strerror(errno));
    return code;
  } catch (const Interrupted&) {
    PrintError("interrupted; " + on_interrupt);
    return kExitInterrupted;
  } catch (const Error& error) {
    PrintError(error.what());
  } catch (const std::bad_alloc&) {
    PrintError("out of memory");
  } catch (const std::exception& error) {
    // The first line of a LibTorch message states the error; the rest is a backtrace.
    const std::string text = error.what(), memory = OutOfMemoryText(error);
    PrintError(memory.empty() ? text.substr(0, text.find('\n')) : memory);
  }
  return kExitFailed;
}

}  // namespace sq
