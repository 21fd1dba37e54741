#include "sq/checkpoint/checksums.h"

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

constexpr char kFileName[] = "checksums.json";
constexpr char kAlgorithm[] = "crc32";
constexpr int64_t kBlocks = 8, kBlockBytes = 4096;  // of a tensor, for ContentDigest

std::string Hex(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

}  // namespace

uint32_t Checksum(const void* data, int64_t bytes) {
  uLong sum = crc32(0, nullptr, 0);
  const Bytef* next = static_cast<const Bytef*>(data);
  while (bytes > 0) {
    const int64_t now = std::min<int64_t>(bytes, 1 << 30);  // zlib counts in 32 bits
    sum = crc32(sum, next, static_cast<uInt>(now));
    next += now;
    bytes -= now;
  }
  return static_cast<uint32_t>(sum);
}

void WriteChecksums(const std::string& folder, const Checksums& checksums) {
  nlohmann::ordered_json json = {{"algorithm", kAlgorithm},
                                 {"tensors", nlohmann::ordered_json::object()}};
  for (const auto& [name, sum] : checksums) json["tensors"][name] = Hex(sum);
  WriteFile(std::filesystem::path(folder) / kFileName, json.dump(2) + "\n");
}

std::string ContentDigest(const TensorStore& store) {
  std::string headers;
  std::vector<uint32_t> sums;
  for (const std::string& name : store.Names()) {
    const FileTensor& tensor = store.Get(name);
    headers += StrCat(name, " ", DTypeName(tensor.dtype), " ", ShapeText(tensor.shape), "\n");
    // As the elements lie in the file: a transposed copy would take memory.
    const uint8_t* data = tensor.file->data() + tensor.offset;
    const int64_t bytes = std::min(tensor.bytes, tensor.file->size() - tensor.offset);
    if (bytes <= kBlocks * kBlockBytes) {
      sums.push_back(Checksum(data, bytes));
    } else {
      for (int64_t block = 0; block < kBlocks; ++block) {
        const int64_t begin = (bytes - kBlockBytes) * block / (kBlocks - 1);
        sums.push_back(Checksum(data + begin, kBlockBytes));
      }
    }
    tensor.file->Release(tensor.offset, tensor.bytes);
  }
  return Hex(Checksum(headers.data(), static_cast<int64_t>(headers.size()))) +
         Hex(Checksum(sums.data(), static_cast<int64_t>(sums.size() * sizeof sums[0])));
}

bool VerifyChecksums(const std::string& folder, const TensorStore& store) {
  const std::string path = std::filesystem::path(folder) / kFileName;
  if (!std::filesystem::exists(path)) return false;
  const nlohmann::json json = ReadJsonFile(path);
  const std::string algorithm = JsonString(json, "algorithm", path);
  SQ_CHECK(algorithm == kAlgorithm, path, ": expected algorithm crc32, found ", Quoted(algorithm));
  const nlohmann::json& tensors = JsonMember(json, "tensors", path);
  SQ_CHECK(tensors.is_object(), path, ": expected an object as tensors");
  for (const auto& [name, sum] : tensors.items()) {
    SQ_CHECK(store.Find(name) != nullptr, folder, ": tensor ", Quoted(name),
             " is missing; checksums.json lists it");
  }
  for (const std::string& name : store.Names()) {
    const FileTensor& tensor = store.Get(name);
    const std::string expected = JsonString(tensors, name, path);
    const std::string found = Hex(Checksum(tensor.data(), tensor.bytes));
    SQ_CHECK(found == expected, tensor.Where(), ": damaged: expected checksum ", Quoted(expected),
             ", found ", found);
    tensor.Release();
  }
  return true;
}

}  // namespace sq
