// sq-pack: converts quantized checkpoints between their formats, lists and verifies them.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sq/pipeline/export_vllm.h"
#include "sq/pipeline/pack_model.h"
#include "tools/cli.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  sq-pack export llama-2-7b-w4 --output sq-llama-2-7b-w4-s0.pt
  sq-pack export llama-2-7b-w4 --format vllm --output llama-2-7b-w4-vllm
  sq-pack import sq-llama-7b-w3-s5.pt --config models/llama-7b --output llama-7b-w3
  sq-pack dequantize llama-2-7b-w4 --output llama-2-7b-w4-fp16
  sq-pack inspect sq-llama-7b-w3-s5.pt --json
  sq-pack verify llama-2-7b-w4)";

// One line per tensor, then the totals.
void Print(const nlohmann::ordered_json& inspected) {
  for (const auto& [name, tensor] : inspected["tensors"].items()) {
    std::printf("%-60s %-5s %s\n", name.c_str(), tensor["dtype"].get<std::string>().c_str(),
                tensor["shape"].dump().c_str());
  }
  for (const auto& [name, value] : inspected["integers"].items()) {
    std::printf("%-60s = %s\n", name.c_str(), value.dump().c_str());
  }
  const auto& packed = inspected["packed"];
  std::printf("%zu tensors, %lld bytes; %lld packed layers", inspected["tensors"].size(),
              static_cast<long long>(inspected["bytes"].get<int64_t>()),
              static_cast<long long>(packed["layers"].get<int64_t>()));
  if (packed["layers"].get<int64_t>() > 0) {
    std::printf(", %.2f bits per weight, %.3f %% outliers", packed["bits_per_weight"].get<double>(),
                packed["sparsity_percent"].get<double>());
  }
  std::printf("\n");
}

struct Arguments {
  sq::CommonFlags flags;
  sq::OpenOptions open;
  std::string path, output, config, format = "pt";
  bool balanced = false, json = false;
};

// Each of these adds a subcommand and returns it.

CLI::App* AddExport(CLI::App& app, Arguments* arguments) {
  auto* command =
      app.add_subcommand("export", "Quantized folder -> .pt file of the original, or for vLLM");
  command->add_option("folder", arguments->path, "Quantized folder")->required();
  command->add_option("--output,-o", arguments->output, "File to create; for vLLM a folder")
      ->required();
  command
      ->add_option("--format", arguments->format,
                   "pt: a state dict; vllm: a folder that vLLM can load")
      ->check(CLI::IsMember({"pt", "vllm"}))
      ->capture_default_str();
  command->add_flag("--balanced", arguments->balanced,
                    "pt: with the work split of the balanced kernel");
  command->final_callback([arguments] {
    if (arguments->balanced && arguments->format != "pt")
      throw CLI::ValidationError("--balanced", "goes with --format pt");
  });
  return command;
}

CLI::App* AddImport(CLI::App& app, Arguments* arguments) {
  auto* command = app.add_subcommand("import", ".pt file of the original -> quantized folder");
  command->add_option("file", arguments->path, ".pt file")->required();
  command->add_option("--config", arguments->config, "Folder of the model that it was made from")
      ->required();
  command->add_option("--output,-o", arguments->output, "Folder to create")->required();
  return command;
}

CLI::App* AddDequantize(CLI::App& app, Arguments* arguments) {
  auto* command = app.add_subcommand("dequantize", "Quantized folder -> fp16 checkpoint");
  command->add_option("folder", arguments->path, "Quantized folder")->required();
  command->add_option("--output,-o", arguments->output, "Folder to create")->required();
  return command;
}

CLI::App* AddInspect(CLI::App& app, Arguments* arguments) {
  auto* command = app.add_subcommand("inspect", "Names, types and shapes of all tensors");
  command->add_option("path", arguments->path, "Folder, or .safetensors, .pt or .bin file")
      ->required();
  command->add_flag("--json", arguments->json, "Print JSON");
  return command;
}

CLI::App* AddVerify(CLI::App& app, Arguments* arguments) {
  auto* command = app.add_subcommand("verify", "Check every tensor");
  command->add_option("path", arguments->path, "Quantized folder or .pt file")->required();
  return command;
}

void Export(const Arguments& arguments) {
  if (arguments.format == "vllm") {
    sq::ExportVllm(arguments.path, arguments.output, arguments.open);
  } else {
    sq::ExportTorchFile(arguments.path, arguments.output, arguments.balanced, arguments.open);
  }
}

void Inspect(const Arguments& arguments) {
  const nlohmann::ordered_json inspected = sq::Inspect(arguments.path);
  if (arguments.json) {
    std::printf("%s\n", inspected.dump(2).c_str());
  } else {
    Print(inspected);
  }
}

void Verify(const Arguments& arguments) {
  const int64_t layers = sq::Verify(arguments.path, arguments.open);
  std::printf("%s: %lld packed layers, all good\n", arguments.path.c_str(),
              static_cast<long long>(layers));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Converts, inspects and verifies quantized checkpoints.");
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();
  Arguments arguments;
  const CLI::App* export_command = AddExport(app, &arguments);
  const CLI::App* import_command = AddImport(app, &arguments);
  const CLI::App* dequantize_command = AddDequantize(app, &arguments);
  const CLI::App* inspect_command = AddInspect(app, &arguments);
  const CLI::App* verify_command = AddVerify(app, &arguments);
  sq::AddOpenOptions(app, &arguments.open);
  sq::AddCommonFlags(app, &arguments.flags);
  return sq::RunTool(app, argc, argv, arguments.flags, "nothing was written", [&] {
    if (export_command->parsed()) Export(arguments);
    if (import_command->parsed()) {
      sq::ImportTorchFile(arguments.path, arguments.config, arguments.output, arguments.open);
    }
    if (dequantize_command->parsed()) {
      sq::DequantizeFolder(arguments.path, arguments.output, arguments.open);
    }
    if (inspect_command->parsed()) Inspect(arguments);
    if (verify_command->parsed()) Verify(arguments);
    return sq::kExitDone;
  });
}
