// The tiny random models of tests/golden/models and what transformers computes with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <string>
#include <vector>

#include "sq/checkpoint/tensor_store.h"
#include "sq/model/linear.h"

namespace sq::test {

constexpr const char* kGoldenModels[] = {
    "llama-mha-fp16",     "llama-gqa-tied-fp32", "llama3-rope-bf16",    "llama-head-dim-fp16",
    "llama-sharded-bf16", "mistral-window-bf16", "qwen2-tied-bf16",     "qwen3-bf16",
    "opt-fp16",           "qwen2-yarn-bf16",     "ministral-gelu-bf16", "phi3-fused-bf16"};
// Rotated by the sequence's length, otherwise up to 14 tokens than beyond: tokens.0 and tokens.1
// are longer, tokens.2 is shorter, continuation crosses. What comes by way of a cache differs from
// the whole sequence, so that pieces.sizes tells how tokens.0 is fed and pieces.logits what comes
// of it.
constexpr const char* kLengthModels[] = {"llama-dynamic-bf16", "mistral-longrope-bf16"};

inline std::vector<const char*> AllGoldenModels() {
  std::vector<const char*> names(std::begin(kGoldenModels), std::end(kGoldenModels));
  names.insert(names.end(), std::begin(kLengthModels), std::end(kLengthModels));
  return names;
}

struct GoldenModel {
  explicit GoldenModel(const std::string& name)
      : folder(std::string(SQ_GOLDEN_DIR "/models/") + name),
        golden(TensorStore::Open(folder + "/golden.safetensors")) {}

  std::vector<int32_t> Ids(const std::string& tensor) const {
    const FileTensor& file = golden.Get(tensor);
    CheckDType(file, DType::kI64);
    std::vector<int64_t> ids(static_cast<size_t>(file.bytes) / 8);
    std::memcpy(ids.data(), file.data(), static_cast<size_t>(file.bytes));
    return {ids.begin(), ids.end()};
  }
  // The sequences tokens.0 .. tokens.2.
  std::vector<std::vector<int32_t>> Sequences() const {
    return {Ids("tokens.0"), Ids("tokens.1"), Ids("tokens.2")};
  }
  at::Tensor Floats(const std::string& tensor) const {
    const FileTensor& file = golden.Get(tensor);
    return LoadFloats(file, file.shape, kCpu);
  }

  std::string folder;
  TensorStore golden;
};

}  // namespace sq::test
