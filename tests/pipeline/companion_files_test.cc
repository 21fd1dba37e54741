#include "sq/pipeline/companion_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/base/placeholder.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class CompanionFilesTest : public ::testing::Test {
 protected:
  CompanionFilesTest() {
    MakeFolder(from_);
    MakeFolder(to_);
  }
  void Write(const std::string& name, const std::string& contents) {
    MakeFolder(fs::path(from_ + "/" + name).parent_path().string());
    WriteFile(from_ + "/" + name, contents);
  }
  void Write(const std::vector<std::string>& names) {
    for (const std::string& name : names) Write(name, "contents of " + name);
  }
  CompanionFiles Copy() { return CopyCompanionFiles(from_, to_); }
  // All files in the copy.
  std::vector<std::string> Copied() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(to_)) {
      if (!entry.is_directory()) names.push_back(fs::relative(entry.path(), to_).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string from_ = folder_ + "/from", to_ = folder_ + "/to";
};

// Names of files in model repositories of the hub.
TEST_F(CompanionFilesTest, WhatARuntimeNeedsIsCopied) {
  const std::vector<std::string> names = {"LICENSE",
                                          "LICENSE.md",
                                          "License",
                                          "NOTICE.txt",
                                          "README.md",
                                          "USE_POLICY.md",
                                          "added_tokens.json",
                                          "additional_chat_templates/rag.jinja",
                                          "additional_chat_templates/tool_use.jinja",
                                          "chat_template.jinja",
                                          "chat_template.json",
                                          "configuration_chatglm.py",
                                          "figures/benchmark.png",
                                          "generation_config.json",
                                          "merges.txt",
                                          "modeling_chatglm.py",
                                          "params.json",
                                          "preprocessor_config.json",
                                          "processor_config.json",
                                          "qwen.tiktoken",
                                          "special_tokens_map.json",
                                          "tekken.json",
                                          "tokenization_xgen.py",
                                          "tokenizer.bin",
                                          "tokenizer.json",
                                          "tokenizer.model",
                                          "tokenizer.model.v3",
                                          "tokenizer_config.json",
                                          "video_preprocessor_config.json",
                                          "vocab.json"};
  Write(names);
  Write("empty.txt", "");
  Write("page.html", "<!DOCTYPE html>");
  Write("card.md", "<html>");
  Write({"config.json", "quant_config.json", "checksums.json", "report.json"});
  const CompanionFiles files = Copy();
  std::vector<std::string> expected = names;
  expected.insert(expected.end(), {"card.md", "empty.txt", "page.html"});
  std::sort(expected.begin(), expected.end());
  EXPECT_THAT(Copied(), ElementsAreArray(expected));
  std::vector<std::string> copied = files.copied;
  std::sort(copied.begin(), copied.end());
  EXPECT_THAT(copied, ElementsAreArray(expected));
  EXPECT_THAT(files.left_out, IsEmpty());
  EXPECT_THAT(files.lost, IsEmpty());
  EXPECT_EQ(ReadFile(to_ + "/additional_chat_templates/rag.jinja", 100),
            "contents of additional_chat_templates/rag.jinja");
  EXPECT_EQ(ReadFile(to_ + "/empty.txt", 100), "");
}

TEST_F(CompanionFilesTest, WeightsIndicesAndCachesAreNot) {
  Write({"model.safetensors",
         "model-00001-of-00002.safetensors",
         "model.safetensors.index.json",
         "pytorch_model.bin.index.json",
         "tf_model.h5",
         "tf_model.h5.index.json",
         "flax_model.msgpack",
         "flax_model.msgpack.index.json",
         "rust_model.ot",
         "model.onnx",
         "model.onnx_data",
         "model-Q4_K_M.gguf",
         "consolidated.00.pth",
         "optimizer.pt",
         "rng_state.pth",
         "model.ckpt.data-00000-of-00001",
         "openvino_model.bin",
         "openvino_model.xml",
         "Model.SafeTensors",
         ".gitattributes",
         ".git/config",
         ".cache/huggingface/download/tokenizer.json.metadata",
         "__pycache__/modeling.cpython-311.pyc",
         "modeling.pyc",
         "tokenizer.json.lock",
         "x.incomplete",
         "events.out.tfevents.1700000000.host"});
  Write("pytorch_model.bin", "PK\3\4zip");
  Write("training_args.bin", "\x80\2pickle");
  Write("ggml-model-q4_0.bin", "tjgg");
  const CompanionFiles files = Copy();
  EXPECT_THAT(Copied(), ElementsAre("openvino_model.xml"));
  EXPECT_THAT(files.left_out, IsEmpty());
  EXPECT_THAT(files.lost, IsEmpty());
}

TEST_F(CompanionFilesTest, AFolderWithWeightsStaysOut) {
  Write({"original/consolidated.00.pth", "original/params.json", "original/tokenizer.model",
         "onnx/model.onnx", "onnx/config.json", "checkpoint-500/model.safetensors",
         "checkpoint-500/tokenizer.json", "checkpoint-500/deeper/a.txt", "deep/er/model.gguf",
         "deep/er/a.txt", "deep/a.txt", "deep/config.json"});
  const CompanionFiles files = Copy();
  EXPECT_THAT(Copied(), ElementsAre("deep/a.txt", "deep/config.json"));
  EXPECT_THAT(files.left_out,
              ElementsAre("checkpoint-500 (holds weights)", "deep/er (holds weights)",
                          "onnx (holds weights)", "original (holds weights)"));
}

TEST_F(CompanionFilesTest, NothingIsWrittenOver) {
  Write({"a.txt", "generation_config.json"});
  WriteFile(to_ + "/generation_config.json", "rewritten");
  EXPECT_THAT(Copy().copied, ElementsAre("a.txt"));
  EXPECT_EQ(ReadFile(to_ + "/generation_config.json", 100), "rewritten");
}

// A snapshot of the hub's cache is links to blobs.
TEST_F(CompanionFilesTest, LinksAreFollowedToFilesAlone) {
  WriteFile(folder_ + "/blob", "a blob");
  Write("folder/a.txt", "");
  fs::create_symlink("../blob", from_ + "/tokenizer.json");
  fs::create_symlink("../none", from_ + "/tokenizer.model");
  fs::create_directory_symlink(".", from_ + "/circle");
  ASSERT_EQ(mkfifo((from_ + "/pipe").c_str(), 0600), 0);
  const CompanionFiles files = Copy();
  EXPECT_THAT(Copied(), ElementsAre("folder/a.txt", "tokenizer.json"));
  EXPECT_FALSE(fs::is_symlink(to_ + "/tokenizer.json"));
  EXPECT_EQ(ReadFile(to_ + "/tokenizer.json", 100), "a blob");
  EXPECT_THAT(files.lost, ElementsAre("circle (a link to a folder)", "pipe (not a regular file)",
                                      "tokenizer.model (a link to what is not there)"));
}

TEST_F(CompanionFilesTest, WhatIsNoneOfItsOwnOrTooLargeIsLost) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\n";
  Write("tokenizer.json", pointer);
  Write("vocab.json", "<!DOCTYPE html>");
  Write("a.txt", "a");
  std::ofstream(from_ + "/video.mp4").close();
  fs::resize_file(from_ + "/video.mp4", (256 << 20) + 1);
  const CompanionFiles files = Copy();
  EXPECT_THAT(Copied(), ElementsAre("a.txt"));
  EXPECT_THAT(files.lost, ElementsAre("tokenizer.json (" + PlaceholderText(pointer) + ")",
                                      "video.mp4 (268435457 bytes)",
                                      "vocab.json (" + PlaceholderText("<!DOCTYPE html>") + ")"));
}

TEST_F(CompanionFilesTest, FilesBytesAndDepthAreBounded) {
  Write({"a.txt", "b.txt", "c.txt", "folder/d.txt"});
  CompanionLimits limits;
  limits.files = 2;
  const CompanionFiles few = CopyCompanionFiles(from_, to_ + "/few", limits);
  EXPECT_THAT(few.copied, ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(few.lost, ElementsAre("c.txt (too many files)", "folder (too many files)"));

  limits = {};
  limits.bytes = 32;
  const CompanionFiles small = CopyCompanionFiles(from_, to_ + "/small", limits);
  EXPECT_THAT(small.copied, ElementsAre("a.txt"));  // of 17 bytes
  EXPECT_THAT(small.lost, ElementsAre("b.txt (too many bytes with those before it)",
                                      "c.txt (too many bytes with those before it)",
                                      "folder/d.txt (too many bytes with those before it)"));

  fs::remove_all(from_);
  Write({"1/2/3/4/5/6/7/8/a.txt", "1/2/3/4/5/6/7/8/9/b.txt"});
  const CompanionFiles deep = CopyCompanionFiles(from_, to_ + "/deep");
  EXPECT_THAT(deep.copied, ElementsAre("1/2/3/4/5/6/7/8/a.txt"));
  EXPECT_THAT(deep.lost, ElementsAre("1/2/3/4/5/6/7/8/9 (nested too deep)"));
}

// Where the copy is made in the model's own folder, it is not copied into itself.
TEST_F(CompanionFilesTest, TheCopyMayLieInTheFolder) {
  Write({"a.txt", "b/c.txt"});
  MakeFolder(from_ + "/out");
  EXPECT_THAT(CopyCompanionFiles(from_, from_ + "/out").copied, ElementsAre("a.txt", "b/c.txt"));
  EXPECT_TRUE(FileExists(from_ + "/out/b/c.txt"));
  EXPECT_FALSE(FileExists(from_ + "/out/out"));
}

TEST_F(CompanionFilesTest, AFolderThatCannotBeWrittenIsAnError) {
  Write({"a.txt"});
  WriteFile(folder_ + "/file", "");
  EXPECT_THAT(test::MessageOf([&] { CopyCompanionFiles(from_, folder_ + "/file"); }),
              HasSubstr(folder_ + "/file"));
}

}  // namespace
}  // namespace sq
