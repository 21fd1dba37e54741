#include "sq/checkpoint/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/tensor_store.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// Tensors t0, t1 ... of so many floats; tensor i holds the value i.
struct Tensors {
  explicit Tensors(const std::vector<int64_t>& sizes) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      values.emplace_back(static_cast<size_t>(sizes[i]), static_cast<float>(i));
      views.push_back({StrCat("t", i), DType::kF32, {sizes[i]}, nullptr, sizes[i] * 4});
    }
  }
  // Keeps one tensor's data alive at a time, as a caller may.
  std::function<const void*(size_t)> Data() {
    return [this](size_t i) -> const void* {
      asked.push_back(i);
      current = values[i];
      return current.data();
    };
  }
  std::vector<std::vector<float>> values;
  std::vector<TensorView> views;
  std::vector<size_t> asked;
  std::vector<float> current;
};

TEST(CheckpointWriter, NumbersShardsFromOne) {
  EXPECT_EQ(ShardName(0, 3), "model-00001-of-00003.safetensors");
  EXPECT_EQ(ShardName(99, 100), "model-00100-of-00100.safetensors");
}

TEST(CheckpointWriter, WritesASmallModelAsOneFile) {
  const std::string folder = test::ScratchFolder();
  Tensors tensors({3, 0, 1});
  WriteCheckpoint(folder, tensors.views, tensors.Data());
  EXPECT_THAT(test::NamesIn(folder), ElementsAre("checksums.json", "model.safetensors"));
  EXPECT_THAT(tensors.asked, ElementsAre(0, 1, 2));
  const TensorStore store = TensorStore::Open(folder);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(ReadFloats(store.Get(StrCat("t", i))), tensors.values[i]);
  EXPECT_THAT(store.metadata(), ElementsAre(Pair("format", "pt")));
}

TEST(CheckpointWriter, FillsShardsUpToTheLimitInTheOrderGiven) {
  const std::string folder = test::ScratchFolder();
  // 4 + 6 floats fill a shard of 40 bytes; 1 and 20 do not go together, and 20 alone is over it.
  Tensors tensors({4, 6, 1, 20, 2, 3});
  WriteCheckpoint(folder, tensors.views, tensors.Data(), 40);
  EXPECT_THAT(test::NamesIn(folder),
              ElementsAre("checksums.json", "model-00001-of-00004.safetensors",
                          "model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors",
                          "model-00004-of-00004.safetensors", "model.safetensors.index.json"));
  EXPECT_THAT(tensors.asked, ElementsAre(0, 1, 2, 3, 4, 5));
  const auto index = ReadJsonFile(folder + "/model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], 36 * 4);
  const int64_t shard_of[] = {0, 0, 1, 2, 3, 3};
  EXPECT_EQ(index["weight_map"].size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(index["weight_map"][StrCat("t", i)], ShardName(shard_of[i], 4)) << i;
  }
  const TensorStore store = TensorStore::Open(folder);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_EQ(ReadFloats(store.Get(StrCat("t", i))), tensors.values[i]);
  EXPECT_EQ(store.TotalBytes(), 36 * 4);
}

TEST(CheckpointWriter, WritesAModelWithoutTensors) {
  const std::string folder = test::ScratchFolder();
  WriteCheckpoint(folder, {}, [](size_t) { return nullptr; });
  EXPECT_TRUE(TensorStore::Open(folder).Names().empty());
}

TEST(CheckpointWriter, IndexesShardsThatAreThere) {
  const std::string folder = test::ScratchFolder();
  const std::vector<float> value = {1};
  const TensorView a{"a", DType::kF32, {1}, value.data(), 4},
      b{"b", DType::kF32, {1}, value.data(), 4};
  WriteSafetensors(folder + "/x.safetensors", {a}, {});
  WriteSafetensors(folder + "/y.safetensors", {b}, {});
  WriteShardIndex(folder, {{"x.safetensors", {"a"}}, {"y.safetensors", {"b"}}}, 8);
  EXPECT_THAT(TensorStore::Open(folder).Names(), ElementsAre("a", "b"));
}

TEST(CheckpointWriter, NamesTheFileThatCannotBeWritten) {
  const std::string folder = test::ScratchFolder() + "/none";
  EXPECT_EQ(test::MessageOf([&] { WriteCheckpoint(folder, {}, [](size_t) { return nullptr; }); }),
            folder + "/model.safetensors: cannot create: No such file or directory");
}

}  // namespace
}  // namespace sq
