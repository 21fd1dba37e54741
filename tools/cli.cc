#include "tools/cli.h"

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

void Complain(const std::string& message) { std::fprintf(stderr, "error: %s\n", message.c_str()); }

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

}  // namespace

void AddCommonFlags(CLI::App& app, CommonFlags* flags) {
  app.add_option("--threads", flags->threads, "Threads to use; 0: all that the process may run on")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_flag("--quiet,-q", flags->quiet, "No log and no progress on stderr, warnings only");
  app.add_flag("--verbose,-v", flags->verbose, "More log on stderr");
  app.set_version_flag("--version", [] {
    return StrCat("squeezellm ", Version(), ", LibTorch ", LibTorchVersion(), ", ", CpuText());
  });
}

void AddOpenOptions(CLI::App& app, OpenOptions* open) {
  app.add_option("--ignore-config-field", open->ignore_config_fields,
                 "Pass over this field of config.json, which is an error where it is not known; "
                 "may be given several times")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NAME");
  app.add_flag("--strict", open->strict, "Unused tensors are an error instead of a warning");
}

void AddTextFieldOption(CLI::App& app, std::string* field) {
  app.add_option("--text-field", *field, "Where a text is in the JSON objects of a path")
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
            // Turns "512M" into "536870912", or returns what is wrong with it.
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

int RunTool(CLI::App& app, int argc, char** argv, const CommonFlags& flags,
            const std::function<int()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too, with code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    // CLI11 complains of what is missing first, though a misspelt flag may be why.
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
    Complain("interrupted; what is finished is kept");
    return kExitInterrupted;
  } catch (const Error& error) {
    Complain(error.what());
  } catch (const std::bad_alloc&) {
    Complain("out of memory");
  } catch (const std::exception& error) {
    // LibTorch's messages go on with a backtrace; the first line says what is wrong.
    const std::string text = error.what(), memory = OutOfMemoryText(error);
    Complain(memory.empty() ? text.substr(0, text.find('\n')) : memory);
  }
  return kExitFailed;
}

}  // namespace sq
