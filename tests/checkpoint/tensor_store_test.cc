#include "sq/checkpoint/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/scratch.h"

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
  EXPECT_EQ(OpenMessage(),
            folder_ + ": no weights: expected model.safetensors or model.safetensors.index.json");
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
    EXPECT_EQ(OpenMessage(), index_ + ": bad file name in weight_map: " + name);
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
  EXPECT_EQ(OpenMessage(),
            folder_ + "/one.safetensors: tensor b is missing; " + index_ + " expects it there");
}

TEST_F(TensorStoreTest, NamesATensorInAnotherShardThanTheIndexSays) {
  WriteShard("one.safetensors", {"a", "c"});
  WriteShard("two.safetensors", {"b"});
  WriteIndex(R"({"a":"two.safetensors","b":"two.safetensors","c":"one.safetensors"})");
  EXPECT_EQ(OpenMessage(),
            folder_ + "/two.safetensors: tensor a is missing; " + index_ + " expects it there");
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
