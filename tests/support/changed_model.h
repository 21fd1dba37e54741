// A golden model with other tensors or another configuration.
#pragma once

#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sq/base/json.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/tensor_store.h"
#include "tests/support/golden_model.h"

namespace sq::test {

class ChangedModel {
 public:
  explicit ChangedModel(const std::string& of)
      : store_(TensorStore::Open(GoldenModel(of).folder)),
        config(ReadJsonFile(GoldenModel(of).folder + "/config.json")) {
    for (const std::string& name : store_.Names()) {
      const FileTensor& tensor = store_.Get(name);
      tensors[name] = {name, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes};
    }
  }

  template <typename T>
  void Set(const std::string& name, DType dtype, const Shape& shape, const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    std::vector<uint8_t>& kept = kept_.emplace_back(bytes);
    std::memcpy(kept.data(), values.data(), bytes);
    tensors[name] = {name, dtype, shape, kept.data(), static_cast<int64_t>(bytes)};
  }
  void Rename(const std::string& from, const std::string& to) {
    tensors[to] = tensors.at(from);
    tensors[to].name = to;
    tensors.erase(from);
  }
  // Its fp32 values as doubles.
  void Widen(const std::string& name) {
    const std::vector<float> floats = ReadFloats(store_.Get(name));
    Set(name, DType::kF64, tensors.at(name).shape,
        std::vector<double>(floats.begin(), floats.end()));
  }

  // Makes the folder, anew if it is there, and returns it.
  std::string Write(const std::string& folder) const {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/config.json") << config;
    std::vector<TensorView> views;
    for (const auto& [name, view] : tensors) views.push_back(view);
    WriteCheckpoint(folder, views, [&](size_t i) { return views[i].data; });
    return folder;
  }

 private:
  TensorStore store_;
  std::deque<std::vector<uint8_t>> kept_;

 public:
  std::map<std::string, TensorView> tensors;
  nlohmann::json config;
};

}  // namespace sq::test
