#include "sq/checkpoint/checkpoint_writer.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/checksums.h"
#include "sq/checkpoint/safetensors.h"

namespace sq {
namespace {

// transformers refuses a file whose metadata does not say that its layout is PyTorch's.
const Metadata kMetadata = {{"format", "pt"}};

}  // namespace

std::string ShardName(int64_t number, int64_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", static_cast<int>(number + 1),
                static_cast<int>(count));
  return name;
}

void WriteShardIndex(const std::string& folder, const std::vector<Shard>& shards,
                     int64_t total_bytes) {
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = nlohmann::ordered_json::object();
  for (const Shard& shard : shards) {
    for (const std::string& name : shard.tensors) index["weight_map"][name] = shard.file_name;
  }
  WriteFile(std::filesystem::path(folder) / "model.safetensors.index.json", index.dump(2) + "\n");
}

void WriteCheckpoint(const std::string& folder, const std::vector<TensorView>& tensors,
                     const std::function<const void*(size_t)>& data, int64_t max_shard_bytes) {
  std::vector<std::vector<TensorView>> parts(1);
  int64_t part_bytes = 0, total = 0;
  for (const TensorView& tensor : tensors) {
    if (!parts.back().empty() && part_bytes + tensor.bytes > max_shard_bytes) {
      parts.emplace_back();
      part_bytes = 0;
    }
    parts.back().push_back(tensor);
    part_bytes += tensor.bytes;
    total += tensor.bytes;
  }
  const int64_t count = static_cast<int64_t>(parts.size());
  std::vector<Shard> shards;
  Checksums checksums;
  size_t next = 0;
  for (int64_t part = 0; part < count; ++part) {
    Shard shard{count == 1 ? "model.safetensors" : ShardName(part, count), {}};
    SafetensorsWriter writer(std::filesystem::path(folder) / shard.file_name, parts[part],
                             kMetadata);
    for (TensorView tensor : parts[part]) {
      shard.tensors.push_back(tensor.name);
      tensor.data = data(next++);
      writer.Append(tensor);
      checksums[tensor.name] = Checksum(tensor.data, tensor.bytes);
    }
    writer.Commit();
    shards.push_back(shard);
  }
  if (count > 1) WriteShardIndex(folder, shards, total);
  WriteChecksums(folder, checksums);
}

}  // namespace sq
