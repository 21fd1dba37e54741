#include "sq/pipeline/torch_model.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "sq/base/json.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/torch_writer.h"
#include "sq/pipeline/export_vllm.h"
#include "sq/pipeline/pack_model.h"
#include "sq/pipeline/quantize_model.h"
#include "tests/support/changed_model.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kQuery[] = "model.layers.0.self_attn.q_proj";

// A quantized folder's tensors, to be changed and written as a .pt file.
class TorchModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Quantize("llama-mha-fp16");
    const TensorStore store = TensorStore::Open(quantized_);
    for (const std::string& name : store.Names()) {
      const FileTensor& tensor = store.Get(name);
      tensors_[name] = {name, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes};
      files_.push_back(tensor);  // keeps the file mapped
      const std::string layer = name.substr(0, name.rfind('.'));
      if (name == layer + ".vals") integers_[SparseCountName(layer)] = tensor.shape[0];
    }
  }

  void Quantize(const std::string& name) {
    QuantizeModelOptions options;
    options.model = source_ = test::GoldenModel(name).folder;
    options.output = quantized_ = folder_ + "/" + name;
    options.bits = 3;
    options.outliers.outlier_fraction = 0.01;
    options.uniform_sensitivity = true;
    QuantizeModel(options);
  }

  std::string Write() {
    std::filesystem::remove(file_);
    std::vector<TensorView> views;
    for (const auto& [name, view] : tensors_) views.push_back(view);
    WriteTorchFile(file_, views, integers_);
    return file_;
  }
  std::string Refusal() {
    return MessageOf([&] { OpenTorchModel(source_, Write()); });
  }
  void RemovePlain() {
    for (const PlainTensor& plain : PlainTensors(ReadModelConfig(source_))) {
      tensors_.erase(plain.name);
    }
  }
  // What the import of `tensors_` says of a tensor.
  void ExpectImported(const std::string& output) {
    ImportTorchFile(Write(), source_, output);
    ExpectSame(quantized_, output);
  }
  static void ExpectSame(const std::string& before, const std::string& after) {
    const TensorStore a = TensorStore::Open(before), b = TensorStore::Open(after);
    ASSERT_EQ(b.Names(), a.Names());
    for (const std::string& name : a.Names()) {
      EXPECT_EQ(b.Get(name).dtype, a.Get(name).dtype) << name;
      ASSERT_EQ(b.Get(name).shape, a.Get(name).shape) << name;
      EXPECT_EQ(std::memcmp(a.Get(name).data(), b.Get(name).data(),
                            static_cast<size_t>(a.Get(name).bytes)),
                0)
          << name;
    }
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string file_ = folder_ + "/model.pt";
  std::string source_, quantized_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, int64_t> integers_;
  std::vector<FileTensor> files_;
};

TEST_F(TorchModelTest, GivesTheTensorsOfTheFile) {
  const Model model = OpenTorchModel(source_, Write());
  EXPECT_EQ(model.folder, source_);
  EXPECT_EQ(model.config.quantized_bits, 3);
  EXPECT_EQ(model.store.Names(), TensorStore::Open(quantized_).Names());
  EXPECT_EQ(model.store.Get(kQuery + std::string(".qweight")).file->path(), file_);
}

// The original's files for the first LLaMA.
TEST_F(TorchModelTest, TakesFromTheFolderWhatTheFileLacks) {
  RemovePlain();
  const Model model = OpenTorchModel(source_, Write());
  EXPECT_EQ(model.store.Get("lm_head.weight").file->path(), source_ + "/model.safetensors");
  ExpectImported(folder_ + "/imported");
}

TEST_F(TorchModelTest, NeedsNoWeightsWhereTheFileHasAll) {
  const std::string bare = folder_ + "/bare";
  std::filesystem::create_directory(bare);
  std::filesystem::copy(source_ + "/config.json", bare);
  EXPECT_EQ(MessageOf([&] { OpenTorchModel(bare, Write()); }), "");
  tensors_.erase("model.norm.weight");
  EXPECT_THAT(MessageOf([&] { OpenTorchModel(bare, Write()); }),
              HasSubstr(file_ +
                        ": tensor model.norm.weight is missing, and the model's folder "
                        "does not help: " +
                        bare + ": no weights"));
}

TEST_F(TorchModelTest, NamesEveryTensorAtFault) {
  tensors_.erase(kQuery + std::string(".qweight"));
  TensorView& norm = tensors_["model.norm.weight"];
  norm.shape = {32, 2};
  tensors_["model.layers.9.mlp.up_proj.weight"] = norm;
  tensors_["model.layers.9.mlp.up_proj.weight"].name = "model.layers.9.mlp.up_proj.weight";
  integers_[SparseCountName(kQuery)] += 1;
  integers_["epoch"] = 3;
  const std::string refusal = Refusal();
  for (const std::string problem :
       {"model.layers.0.self_attn.q_proj.qweight is missing",
        ": expected shape [64], found [32, 2]; ", "the number epoch is unknown; ",
        "sparse_threshold.model.layers.0.self_attn.q_proj: expected "}) {
    EXPECT_THAT(refusal, HasSubstr(problem));
  }
  EXPECT_THAT(refusal, Not(HasSubstr("\n")));
}

TEST_F(TorchModelTest, WhatNobodyUsesIsLeftOutWithAWarning) {
  const std::string surplus = "model.layers.9.mlp.up_proj.weight";
  tensors_[surplus] = tensors_["model.norm.weight"];
  tensors_[surplus].name = surplus;
  const Model model = OpenTorchModel(source_, Write());
  EXPECT_THAT(model.warnings, ::testing::ElementsAre(file_ + ": tensor " + surplus +
                                                     " is not used, and not carried into an "
                                                     "output"));
  EXPECT_EQ(model.store.Find(surplus), nullptr);
  ExpectImported(folder_ + "/imported");
  OpenOptions strict;
  strict.strict = true;
  EXPECT_EQ(MessageOf([&] { OpenTorchModel(source_, file_, strict); }),
            file_ + ": tensor " + surplus + " is unknown");
}

TEST_F(TorchModelTest, ImportWritesOneFormOfWhatTheOriginalsFilesMayHold) {
  // int64 indices, and a hybrid kernel's full rows that are all zero.
  const TensorView qweight = tensors_[kQuery + std::string(".qweight")];
  std::vector<int64_t> wide(static_cast<size_t>(qweight.bytes) / 4);
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = static_cast<const int32_t*>(qweight.data)[i];
  tensors_[qweight.name] = {qweight.name, DType::kI64, qweight.shape, wide.data(),
                            qweight.bytes * 2};
  const std::vector<float> zeros(64 * 10, 0);
  const std::vector<int32_t> indices(10, 0);
  const std::string full_rows = kQuery + std::string(".full_rows");
  const std::string full_row_indices = kQuery + std::string(".full_row_indices");
  tensors_[full_rows] = {full_rows, DType::kF32, {64, 10}, zeros.data(), 64 * 10 * 4};
  tensors_[full_row_indices] = {full_row_indices, DType::kI32, {10}, indices.data(), 40};
  ExpectImported(folder_ + "/imported");
}

TEST_F(TorchModelTest, FullRowsJoinTheOutliersOnImport) {
  const PackedLayer before = ReadPackedLayer(TensorStore::Open(quantized_), kQuery, 64, 64);
  std::vector<float> full_rows(64, 0);
  full_rows[5] = 0.75f;
  const std::vector<int32_t> indices = {7};
  const std::string name = kQuery;
  tensors_[name + ".full_rows"] = {
      name + ".full_rows", DType::kF32, {64, 1}, full_rows.data(), 64 * 4};
  tensors_[name + ".full_row_indices"] = {
      name + ".full_row_indices", DType::kI32, {1}, indices.data(), 4};
  ImportTorchFile(Write(), source_, folder_ + "/imported");
  const PackedLayer after =
      ReadPackedLayer(TensorStore::Open(folder_ + "/imported"), kQuery, 64, 64);
  std::vector<float> expected(64), found(64);
  for (int64_t row = 0; row < 64; ++row) {
    Dequantize(before, row, {expected.data(), 1, 64});
    if (row == 7) expected[5] += 0.75f;
    Dequantize(after, row, {found.data(), 1, 64});
    EXPECT_THAT(found, ::testing::Pointwise(::testing::FloatEq(), expected)) << row;
  }
  EXPECT_GE(Verify(folder_ + "/imported"), 14);
}

TEST_F(TorchModelTest, ChecksWhatTheOriginalsCommandLineSays) {
  const Model model = OpenTorchModel(source_, Write());
  CheckTorchModel(model, file_, 0, false);
  CheckTorchModel(model, file_, 3, true);
  EXPECT_EQ(MessageOf([&] { CheckTorchModel(model, file_, 4, true); }),
            file_ + ": expected 4 bits, as --wbits says, found 3");
  for (auto at = tensors_.begin(); at != tensors_.end();) {
    const std::string part = at->first.substr(at->first.rfind('.'));
    at = part == ".rows" || part == ".cols" || part == ".vals" ? tensors_.erase(at) : next(at);
  }
  integers_.clear();
  const Model dense = OpenTorchModel(source_, Write());
  CheckTorchModel(dense, file_, 3, false);
  EXPECT_EQ(MessageOf([&] { CheckTorchModel(dense, file_, 3, true); }),
            file_ + ": expected outliers, as --include-sparse says, found none");
}

// A configuration that ties, and a head that differs: every form of the model has the head and says
// that it is not tied.
class OwnHead : public ::testing::Test {
 protected:
  void SetUp() override {
    test::ChangedModel changed("llama-gqa-tied-fp32");
    head_ = ReadFloats(OpenModel(test::GoldenModel("llama-gqa-tied-fp32").folder)
                           .store.Get("model.embed_tokens.weight"));
    for (float& value : head_) value = 0.5f - value;
    changed.Set("lm_head.weight", DType::kF32, {128, 32}, head_);
    changed.Widen("model.norm.weight");
    QuantizeModelOptions options;
    options.model = changed.Write(folder_ + "/source");
    options.output = folder_ + "/quantized";
    options.uniform_sensitivity = true;
    QuantizeModel(options);
  }
  void ExpectOwnHead(const std::string& name, bool half = false) const {
    const std::string folder = folder_ + "/" + name;
    EXPECT_EQ(ReadJsonFile(folder + "/config.json")["tie_word_embeddings"], false) << name;
    const Model model = OpenModel(folder);
    EXPECT_THAT(model.warnings, ::testing::IsEmpty()) << name;
    const std::vector<float> head = ReadFloats(model.store.Get("lm_head.weight"));
    EXPECT_THAT(head, ::testing::Pointwise(::testing::FloatNear(half ? 1e-3f : 0), head_)) << name;
    EXPECT_EQ(model.store.Get("model.norm.weight").dtype, half ? DType::kF16 : DType::kF32);
  }

  const std::string folder_ = test::ScratchFolder();
  std::vector<float> head_;
};

TEST_F(OwnHead, GoesThroughEveryTool) {
  ExpectOwnHead("quantized");
  DequantizeFolder(folder_ + "/quantized", folder_ + "/dense");
  ExpectOwnHead("dense", /*half=*/true);
  ExportVllm(folder_ + "/quantized", folder_ + "/vllm");
  ExpectOwnHead("vllm");
  ExportTorchFile(folder_ + "/quantized", folder_ + "/a.pt", false);
  // The source's configuration ties; the file's tensors tell.
  ImportTorchFile(folder_ + "/a.pt", folder_ + "/source", folder_ + "/imported");
  ExpectOwnHead("imported");
}

// The layers from the file, all else from the folder with the head of its own.
TEST_F(OwnHead, ComesFromTheFolderOfAFileWithoutEnds) {
  const TensorStore store = TensorStore::Open(folder_ + "/quantized");
  std::vector<TensorView> layers;
  for (const std::string& name : store.Names()) {
    const FileTensor& tensor = store.Get(name);
    if (name.rfind("model.layers.", 0) != 0 || name.find("norm") != std::string::npos) continue;
    layers.push_back({name, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes});
  }
  WriteTorchFile(folder_ + "/layers.pt", layers, {});
  const Model model = OpenTorchModel(folder_ + "/source", folder_ + "/layers.pt");
  EXPECT_FALSE(model.config.tie_word_embeddings);
  EXPECT_EQ(ReadFloats(model.store.Get("lm_head.weight")), head_);
  EXPECT_EQ(model.warnings.size(), 2u);  // the head, and a norm of doubles
  ImportTorchFile(folder_ + "/layers.pt", folder_ + "/source", folder_ + "/imported");
  ExpectOwnHead("imported");
}

// Biases, learned positions, tied heads and norms of heads included.
class EveryFamily : public TorchModelTest, public ::testing::WithParamInterface<const char*> {
  void SetUp() override { Quantize(GetParam()); }
};

TEST_P(EveryFamily, GoesIntoAPtFileAndBackBitForBit) {
  ExportTorchFile(quantized_, file_, /*balanced=*/true);
  ImportTorchFile(file_, source_, folder_ + "/back");
  ExpectSame(quantized_, folder_ + "/back");
}

INSTANTIATE_TEST_SUITE_P(TorchModel, EveryFamily, ::testing::ValuesIn(test::kGoldenModels),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sq
