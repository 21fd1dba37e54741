// sq-pack: the forms that a quantized checkpoint takes.
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

// One line per tensor, then the sums.
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Converts, inspects and verifies quantized checkpoints.");
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();
  sq::CommonFlags flags;
  sq::OpenOptions open;
  std::string path, output, config, format = "pt";
  bool balanced = false, json = false;

  auto* export_command =
      app.add_subcommand("export", "Quantized folder -> .pt file of the original, or for vLLM");
  export_command->add_option("folder", path, "Quantized folder")->required();
  export_command->add_option("--output,-o", output, "File, or folder for vLLM, to be made")
      ->required();
  export_command
      ->add_option("--format", format,
                   "pt: a state dict; vllm: the folder that vLLM's loaders want")
      ->check(CLI::IsMember({"pt", "vllm"}))
      ->capture_default_str();
  export_command->add_flag("--balanced", balanced,
                           "pt: with the work split of the balanced kernel");
  export_command->final_callback([&] {
    if (balanced && format != "pt")
      throw CLI::ValidationError("--balanced", "goes with --format pt");
  });
  auto* import_command =
      app.add_subcommand("import", ".pt file of the original -> quantized folder");
  import_command->add_option("file", path, ".pt file")->required();
  import_command->add_option("--config", config, "Folder of the model that it was made from")
      ->required();
  import_command->add_option("--output,-o", output, "Folder to be made")->required();
  auto* dequantize_command =
      app.add_subcommand("dequantize", "Quantized folder -> fp16 checkpoint");
  dequantize_command->add_option("folder", path, "Quantized folder")->required();
  dequantize_command->add_option("--output,-o", output, "Folder to be made")->required();
  auto* inspect_command = app.add_subcommand("inspect", "Names, types and shapes of all tensors");
  inspect_command->add_option("path", path, "Folder, or .safetensors, .pt or .bin file")
      ->required();
  inspect_command->add_flag("--json", json, "As JSON");
  auto* verify_command = app.add_subcommand("verify", "Check every tensor");
  verify_command->add_option("path", path, "Quantized folder or .pt file")->required();
  sq::AddOpenOptions(app, &open);
  sq::AddCommonFlags(app, &flags);

  return sq::RunTool(app, argc, argv, flags, [&] {
    if (export_command->parsed() && format == "vllm") {
      sq::ExportVllm(path, output, open);
    } else if (export_command->parsed()) {
      sq::ExportTorchFile(path, output, balanced, open);
    } else if (import_command->parsed()) {
      sq::ImportTorchFile(path, config, output, open);
    } else if (dequantize_command->parsed()) {
      sq::DequantizeFolder(path, output, open);
    } else if (inspect_command->parsed()) {
      const nlohmann::ordered_json inspected = sq::Inspect(path);
      if (json) {
        std::printf("%s\n", inspected.dump(2).c_str());
      } else {
        Print(inspected);
      }
    } else if (verify_command->parsed()) {
      const int64_t layers = sq::Verify(path, open);
      std::printf("%s: %lld packed layers, all good\n", path.c_str(),
                  static_cast<long long>(layers));
    }
    return sq::kExitDone;
  });
}
