#include "sq/pipeline/companion_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/log.h"
#include "sq/base/output_file.h"
#include "sq/base/placeholder.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 8;
constexpr size_t kChunkBytes = 1 << 20;

const std::set<std::string> kOfOneCheckpoint = {"config.json", "quant_config.json",
                                                "checksums.json", "report.json"};

// Of weights and of states of a training: PyTorch, safetensors, GGUF and GGML, TensorFlow, Keras,
// Flax, Rust, ONNX, Core ML, TensorFlow Lite, TensorRT, NeMo, llamafile, pickle.
const std::set<std::string> kWeightExtensions = {
    ".safetensors", ".pt",     ".pth",     ".ckpt", ".gguf",      ".ggml",      ".pb",
    ".h5",          ".keras",  ".msgpack", ".ot",   ".onnx",      ".onnx_data", ".mlmodel",
    ".tflite",      ".engine", ".plan",    ".nemo", ".llamafile", ".pkl",       ".pickle"};

const std::set<std::string> kCacheExtensions = {".pyc", ".lock", ".incomplete", ".part", ".tmp"};

std::string Extension(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// What a .bin file holds, its name does not say: weights by PyTorch (a zip archive or a pickle) or
// llama.cpp's first formats, or by OpenVINO, beside the graph that they belong to.
bool IsBinaryOfWeights(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  char begin[4] = {};
  in.read(begin, sizeof begin);
  const std::string_view magic(begin, static_cast<size_t>(in.gcount()));
  const auto is = [&](std::string_view known) { return magic.substr(0, known.size()) == known; };
  return is("PK\3\4") || is("\x80") || is("lmgg") || is("fmgg") || is("tjgg") || is("GGUF") ||
         IsRegularFile(fs::path(path).replace_extension(".xml").string());
}

bool IsWeights(const fs::path& path) {
  const std::string name = path.filename().string();
  // Of model.safetensors.index.json, the file that it is the index of.
  constexpr std::string_view kIndex = ".index.json";
  if (EndsWith(name, kIndex)) {
    const std::string indexed = name.substr(0, name.size() - kIndex.size());
    return kWeightExtensions.count(Extension(indexed)) > 0 || Extension(indexed) == ".bin";
  }
  const std::string extension = Extension(name);
  if (extension == ".bin") return IsBinaryOfWeights(path);
  // TensorFlow's are a .index and .data-00000-of-00001.
  return kWeightExtensions.count(extension) > 0 || extension.rfind(".data-0", 0) == 0;
}

bool IsCache(const std::string& name) {
  return name.front() == '.' || name == "__pycache__" || kCacheExtensions.count(Extension(name)) ||
         name.rfind("events.out.tfevents.", 0) == 0;
}

// Whether a file may hold HTML by its own right.
bool MayBePage(const std::string& name) {
  const std::string extension = Extension(name);
  return extension == ".html" || extension == ".htm" || extension == ".md";
}

class Copier {
 public:
  Copier(fs::path from, fs::path to, const CompanionLimits& limits)
      : from_(std::move(from)), to_(std::move(to)), limits_(limits) {}

  CompanionFiles Run() {
    CopyFolder("", 0);
    return std::move(result_);
  }

 private:
  void CopyFolder(const fs::path& folder, int depth) {
    std::vector<std::string> files, folders;
    bool has_weights = false;
    for (const std::string& name : FolderNames((from_ / folder).string())) {
      if (IsCache(name)) continue;
      const fs::path path = from_ / folder / name;
      std::error_code error;
      if (fs::is_directory(fs::symlink_status(path, error))) {
        folders.push_back(name);
      } else if (IsRegularFile(path.string()) && IsWeights(path)) {
        has_weights = true;
      } else {
        files.push_back(name);
      }
    }
    if (has_weights && !folder.empty()) {
      result_.left_out.push_back(folder.string() + " (holds weights)");
      return;
    }
    for (const std::string& name : files) CopyFile(folder / name);
    for (const std::string& name : folders) Descend(folder / name, depth + 1);
  }

  void Descend(const fs::path& folder, int depth) {
    std::error_code error;
    if (fs::equivalent(from_ / folder, to_, error)) return;
    if (depth > kMaxDepth) return Lose(folder, "nested too deep");
    if (Full()) return Lose(folder, "too many files");
    if (fs::directory_iterator(from_ / folder, error); error) {
      return Lose(folder, error.message());
    }
    CopyFolder(folder, depth);
  }

  void CopyFile(const fs::path& file) {
    const std::string path = (from_ / file).string();
    if (!file.has_parent_path() && kOfOneCheckpoint.count(file.string())) return;
    if (FileExists((to_ / file).string())) return;
    if (IsDanglingLink(path)) return Lose(file, "a link to what is not there");
    if (IsFolder(path)) return Lose(file, "a link to a folder");
    if (!IsRegularFile(path)) return Lose(file, "not a regular file");
    if (Full()) return Lose(file, "too many files");
    std::error_code error;
    const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
    if (bytes > limits_.file_bytes) return Lose(file, StrCat(bytes, " bytes"));
    if (bytes > limits_.bytes - bytes_) return Lose(file, "too many bytes with those before it");
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) return Lose(file, std::strerror(errno));
    CopyContents(file, in);
  }

  void CopyContents(const fs::path& file, std::ifstream& in) {
    std::string chunk(kChunkBytes, '\0');
    const auto read = [&] {
      in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
      return in.gcount();
    };
    std::streamsize count = read();
    const std::string_view begin(chunk.data(), static_cast<size_t>(count));
    const std::string instead = PlaceholderText(begin.substr(0, kPlaceholderBytes));
    if (!instead.empty() && !MayBePage(file.string())) return Lose(file, instead);
    MakeFolder((to_ / file).parent_path().string());
    // Through OutputFile, whose errors say what is wrong: a full disk is an "Input/output error" to
    // std::filesystem.
    OutputFile out((to_ / file).string());
    for (; count > 0; count = read()) {
      out.Write(chunk.data(), count);
      bytes_ += count;
    }
    if (in.bad()) return Lose(file, std::strerror(errno));
    out.Commit();
    result_.copied.push_back(file.string());
  }

  bool Full() const { return result_.copied.size() >= limits_.files; }

  void Lose(const fs::path& path, const std::string& reason) {
    result_.lost.push_back(path.string() + " (" + reason + ")");
  }

  const fs::path from_, to_;
  const CompanionLimits limits_;
  CompanionFiles result_;
  int64_t bytes_ = 0;  // copied
};

}  // namespace

CompanionFiles CopyCompanionFiles(const std::string& from, const std::string& to,
                                  const CompanionLimits& limits) {
  CompanionFiles result = Copier(from, to, limits).Run();
  if (!result.left_out.empty()) LogInfo(StrCat(from, ": not copied: ", NameList(result.left_out)));
  if (!result.lost.empty()) LogWarning(StrCat(from, ": could not copy ", NameList(result.lost)));
  return result;
}

}  // namespace sq
