// A checkpoint folder's weights: one model.safetensors, or shards with an index when they are
// large, and their checksums.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor.h"

namespace sq {

constexpr int64_t kMaxShardBytes = 5'000'000'000;  // Hugging Face's own limit

// Writes `tensors` (names, types, shapes; their data pointers are ignored) in this order. data(i)
// is called once for each i in order and returns its bytes, which need to last until the next call
// only. A shard holds at most `max_shard_bytes` unless one tensor alone is larger.
void WriteCheckpoint(const std::string& folder, const std::vector<TensorView>& tensors,
                     const std::function<const void*(size_t)>& data,
                     int64_t max_shard_bytes = kMaxShardBytes);

// Writes model.safetensors.index.json over shards that are there already: for each shard's file
// name the tensors in it.
struct Shard {
  std::string file_name;
  std::vector<std::string> tensors;
};
void WriteShardIndex(const std::string& folder, const std::vector<Shard>& shards,
                     int64_t total_bytes);

// "model-00001-of-00003.safetensors"; `number` counts from 0.
std::string ShardName(int64_t number, int64_t count);

}  // namespace sq
