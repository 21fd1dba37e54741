#include "sq/checkpoint/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/scratch.h"
#include "tests/support/zip_bytes.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class TensorStoreTest : public ::testing::Test {
 protected:
  // Writes a file of one-byte tensors of these names.
  void WriteShard(const std::string& name, const std::vector<std::string>& tensors,
                  const std::string& metadata = R"({"format":"pt"})") const {
    std::string header = "{\"__metadata__\":" + metadata;
    for (size_t i = 0; i < tensors.size(); ++i) {
      header += "," + test::Entry(tensors[i], "U8", "[1]", StrCat("[", i, ",", i + 1, "]"));
    }
    WriteFile(folder_ + "/" + name,
              test::SafetensorsBytes(header + "}", std::string(tensors.size(), 'x')));
  }
  void WriteIndex(const std::string& weight_map) const {
    WriteFile(index_, R"({"metadata":{"total_size":3},"weight_map":)" + weight_map + "}");
  }
  std::string OpenMessage() const {
    return MessageOf([&] { TensorStore::Open(folder_); });
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string index_ = folder_ + "/model.safetensors.index.json";
};

TEST_F(TensorStoreTest, OpensAFolderOfOneFile) {
  WriteShard("model.safetensors", {"b", "a"});
  const TensorStore store = TensorStore::Open(folder_);
  EXPECT_THAT(store.Names(), ElementsAre("a", "b"));
  EXPECT_EQ(store.Get("b").offset + 1, store.Get("a").offset);
  EXPECT_EQ(store.Find("c"), nullptr);
  EXPECT_EQ(store.TotalBytes(), 2);
  EXPECT_THAT(store.metadata(), ElementsAre(Pair("format", "pt")));
  EXPECT_EQ(MessageOf([&] { store.Get("c"); }), folder_ + ": tensor c is missing");
}

// A state dict of one byte 'x' a tensor.
std::string TorchBytes(const std::vector<std::string>& tensors, const std::string& more = "") {
  using namespace test::pickle;  // NOLINT: the operations that it is written in
  std::string items = more;
  for (size_t i = 0; i < tensors.size(); ++i) {
    items += Text(tensors[i]) +
             Tensor(Storage("ByteStorage", "0", 9), static_cast<int64_t>(i), Int(1), Int(1));
  }
  return test::ZipBytes(
      {{"archive/data.pkl", Pickle(Dict(items))}, {"archive/data/0", std::string(9, 'x')}});
}

TEST_F(TensorStoreTest, OpensPyTorchsFiles) {
  using test::pickle::Int;
  using test::pickle::Text;
  WriteFile(folder_ + "/pytorch_model.bin", TorchBytes({"b", "a"}, Text("n") + Int(5)));
  for (const std::string& path : {folder_, folder_ + "/pytorch_model.bin"}) {
    const TensorStore store = TensorStore::Open(path);
    EXPECT_THAT(store.Names(), ElementsAre("a", "b"));
    EXPECT_EQ(*store.Get("b").data(), 'x');
    EXPECT_THAT(store.integers(), ElementsAre(Pair("n", 5)));
  }
}

TEST_F(TensorStoreTest, OpensPyTorchsShards) {
  WriteFile(folder_ + "/pytorch_model-00001-of-00002.bin", TorchBytes({"a", "b"}));
  WriteFile(folder_ + "/pytorch_model-00002-of-00002.bin", TorchBytes({"c"}));
  const std::string index = folder_ + "/pytorch_model.bin.index.json";
  WriteFile(index, R"({"weight_map":{"a":"pytorch_model-00001-of-00002.bin",
      "b":"pytorch_model-00001-of-00002.bin","c":"pytorch_model-00002-of-00002.bin"}})");
  const TensorStore store = TensorStore::Open(folder_);
  EXPECT_THAT(store.Names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(store.Get("c").file->path(), folder_ + "/pytorch_model-00002-of-00002.bin");
  WriteFile(index, R"({"weight_map":{"c":"pytorch_model-00001-of-00002.bin"}})");
  const TensorStore other = TensorStore::Open(folder_);
  EXPECT_EQ(MessageOf([&] { other.Get("c"); }),
            folder_ + ": tensor c is missing; " + index +
                " expects it in pytorch_model-00001-of-00002.bin");
}

// transformers' order.
TEST_F(TensorStoreTest, PrefersSafetensors) {
  WriteFile(folder_ + "/pytorch_model.bin", TorchBytes({"torch"}));
  WriteFile(folder_ + "/pytorch_model.bin.index.json", "{}");
  EXPECT_THAT(TensorStore::Open(folder_).Names(), ElementsAre("torch"));
  WriteShard("one.safetensors", {"shard"});
  WriteIndex(R"({"shard":"one.safetensors"})");
  EXPECT_THAT(TensorStore::Open(folder_).Names(), ElementsAre("shard"));
  WriteShard("model.safetensors", {"single"});
  EXPECT_THAT(TensorStore::Open(folder_).Names(), ElementsAre("single"));
}

TEST_F(TensorStoreTest, OpensAFileByItsName) {
  WriteShard("other.safetensors", {"a"});
  EXPECT_THAT(TensorStore::Open(folder_ + "/other.safetensors").Names(), ElementsAre("a"));
}

TEST_F(TensorStoreTest, OpensTheShardsThatAnIndexNames) {
  WriteShard("one.safetensors", {"a", "b"}, R"({"format":"pt"})");
  WriteShard("two.safetensors", {"c"}, R"({"other":"x"})");
  WriteShard("unused.safetensors", {"d"});
  WriteIndex(R"({"a":"one.safetensors","c":"two.safetensors","b":"one.safetensors"})");
  const TensorStore store = TensorStore::Open(folder_);
  EXPECT_THAT(store.Names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(store.Get("c").file->path(), folder_ + "/two.safetensors");
  EXPECT_EQ(store.Get("a").file, store.Get("b").file);
  EXPECT_THAT(store.metadata(), UnorderedElementsAre(Pair("format", "pt"), Pair("other", "x")));
}

TEST_F(TensorStoreTest, HoldsItsFilesOpen) {
  WriteShard("model.safetensors", {"a"});
  const FileTensor tensor = TensorStore::Open(folder_).Get("a");
  std::filesystem::remove_all(folder_);
  EXPECT_EQ(*tensor.data(), 'x');
}

TEST_F(TensorStoreTest, NamesAFolderWithoutWeights) {
  EXPECT_EQ(OpenMessage(), folder_ +
                               ": no weights: expected model.safetensors or pytorch_model.bin, or "
                               "the .index.json of either");
  EXPECT_EQ(MessageOf([&] { TensorStore::Open(folder_ + "/none"); }),
            folder_ + "/none: no such folder");
}

TEST_F(TensorStoreTest, RefusesAnIndexWithoutATableOfFiles) {
  WriteFile(index_, "[]");
  EXPECT_EQ(OpenMessage(), index_ + ": expected an object weight_map");
  WriteFile(index_, "{}");
  EXPECT_EQ(OpenMessage(), index_ + ": expected an object weight_map");
  WriteIndex("[\"a\"]");
  EXPECT_EQ(OpenMessage(), index_ + ": expected an object weight_map");
  WriteIndex(R"({"a":1})");
  EXPECT_EQ(OpenMessage(), index_ + ": expected a file name for tensor a");
  WriteFile(index_, "{");
  EXPECT_THAT(OpenMessage(), HasSubstr("model.safetensors.index.json: not valid JSON"));
}

TEST_F(TensorStoreTest, RefusesShardsOutsideTheFolder) {
  std::filesystem::create_directory(folder_ + "/sub");
  WriteShard("sub/secret.safetensors", {"a"});
  for (const std::string name :
       {"../secret.safetensors", "sub/secret.safetensors", "/etc/passwd", "..", ".", ""}) {
    WriteIndex("{\"a\":\"" + name + "\"}");
    EXPECT_EQ(OpenMessage(), index_ + ": bad file name in weight_map: \"" + name + "\"");
  }
}

TEST_F(TensorStoreTest, NamesAMissingShard) {
  WriteShard("one.safetensors", {"a"});
  WriteIndex(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_EQ(OpenMessage(), folder_ + "/two.safetensors: cannot open: No such file or directory");
}

TEST_F(TensorStoreTest, NamesATensorThatItsShardLacks) {
  WriteShard("one.safetensors", {"a"});
  WriteIndex(R"({"a":"one.safetensors","b":"one.safetensors"})");
  const TensorStore store = TensorStore::Open(folder_);
  EXPECT_THAT(store.Names(), ElementsAre("a"));
  EXPECT_TRUE(store.ListedInVain("b"));
  EXPECT_FALSE(store.ListedInVain("a") || store.ListedInVain("c"));
  EXPECT_EQ(MessageOf([&] { store.Get("b"); }),
            folder_ + ": tensor b is missing; " + index_ + " expects it in one.safetensors");
  EXPECT_EQ(store.Missing("c"), "tensor c is missing");
}

TEST_F(TensorStoreTest, NamesATensorInAnotherShardThanTheIndexSays) {
  WriteShard("one.safetensors", {"a", "c"});
  WriteShard("two.safetensors", {"b"});
  WriteIndex(R"({"a":"two.safetensors","b":"two.safetensors","c":"one.safetensors"})");
  EXPECT_EQ(OpenMessage(), folder_ + "/two.safetensors: tensor a is missing; " + index_ +
                               " expects it there, not in " + folder_ + "/one.safetensors");
}

TEST_F(TensorStoreTest, NamesATensorInTwoShards) {
  WriteShard("one.safetensors", {"a", "b"});
  WriteShard("two.safetensors", {"b"});
  WriteIndex(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_EQ(OpenMessage(),
            folder_ + "/two.safetensors: tensor b: also in " + folder_ + "/one.safetensors");
}

TEST_F(TensorStoreTest, IsMadeOfTensorsThatAreOpen) {
  WriteShard("model.safetensors", {"a", "b"});
  const Safetensors file = OpenSafetensors(folder_ + "/model.safetensors");
  const TensorStore store = TensorStore::Of("file.pt", {file.tensors[0]});
  EXPECT_THAT(store.Names(), ElementsAre("a"));
  EXPECT_EQ(MessageOf([&] { store.Get("b"); }), "file.pt: tensor b is missing");
  EXPECT_THAT(MessageOf([&] {
                TensorStore::Of("file.pt", {file.tensors[0], file.tensors[0]});
              }),
              HasSubstr("tensor a: also in "));
}

}  // namespace
}  // namespace sq
