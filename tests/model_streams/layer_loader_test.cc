// The layer loader on a device with streams, of which there is none here: LibTorch gets a CUDA
// device that only writes down what it is told, and layers come from this file. The program has
// layer_loader.cc itself and nothing else of its layer.
#include "sq/model/layer_loader.h"

#include <ATen/Functions.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gmock/gmock.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "sq/base/error.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

const at::Device kDevice(at::kCUDA, 0);
constexpr c10::StreamId kPool = 100;  // streams from there on are the pool's

std::mutex mutex;
std::vector<std::string> told;
void Tell(const std::string& what) {
  const std::lock_guard<std::mutex> lock(mutex);
  told.push_back(what);
}
std::vector<std::string> Told() {
  const std::lock_guard<std::mutex> lock(mutex);
  return std::exchange(told, {});
}

thread_local c10::StreamId current = 0;
c10::Stream StreamOf(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, kDevice, id); }

// Events are the streams that they were recorded on.
struct WrittenDown final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return at::kCUDA; }
  at::Device exchangeDevice(at::Device /*to*/) const override { return kDevice; }
  at::Device getDevice() const override { return kDevice; }
  void setDevice(at::Device /*to*/) const override {}
  void uncheckedSetDevice(at::Device /*to*/) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(at::Device /*of*/) const override { return StreamOf(current); }
  c10::Stream getStreamFromGlobalPool(at::Device /*of*/, bool /*high*/) const override {
    static c10::StreamId next = kPool;
    return StreamOf(next++);
  }
  c10::Stream exchangeStream(c10::Stream to) const override {
    return StreamOf(std::exchange(current, to.id()));
  }
  void record(void** event, const c10::Stream& stream, c10::DeviceIndex /*device*/,
              c10::EventFlag /*flag*/) const override {
    *event = new c10::StreamId(stream.id());
    Tell(StrCat("event on ", stream.id()));
  }
  void block(void* event, const c10::Stream& stream) const override {
    Tell(StrCat(stream.id(), " waits for ", *static_cast<c10::StreamId*>(event)));
  }
  void destroyEvent(void* event, c10::DeviceIndex /*device*/) const noexcept override {
    delete static_cast<c10::StreamId*>(event);
  }
};
C10_REGISTER_GUARD_IMPL(CUDA, WrittenDown)

void RecordStream(at::Tensor& tensor, c10::Stream stream) {
  Tell(StrCat("tensor of ", tensor.numel(), " used on ", stream.id()));
}
TORCH_LIBRARY_IMPL(aten, CUDA, library) { library.impl("record_stream", &RecordStream); }

at::Tensor OnDevice(int64_t size) {
  static float memory[64];
  return at::for_blob(memory, {size})
      .options(at::TensorOptions().dtype(at::kFloat).device(kDevice))
      .target_device(kDevice)
      .make_tensor();
}

}  // namespace

// What layer_loader.cc calls.
at::Device TensorDevice(const Device& device) { return device.cuda ? kDevice : at::kCPU; }
void MakeCurrent(const Device& /*device*/) {}
DecoderLayer LoadDecoderLayer(const Model& /*model*/, int64_t layer, DenseWeights /*dense*/,
                              const Device& /*device*/) {
  Tell(StrCat("layer ", layer, " on ", current));
  DecoderLayer loaded;
  loaded.linears.resize(2);
  loaded.linears.front().linear.weight = OnDevice(10 * layer + 1);
  loaded.linears.back().linear.bias = OnDevice(10 * layer + 2);
  loaded.norms.resize(2);
  loaded.norms.front().norm.weight = OnDevice(10 * layer + 3);
  loaded.norms.back().norm.bias = OnDevice(10 * layer + 4);
  return loaded;
}

namespace {

Model ModelOf(int64_t layers) {
  Model model;
  model.config.num_layers = layers;
  return model;
}

TEST(LayerLoaderStreams, CopiesOnAStreamOfItsOwnThatTheCallersWaitsFor) {
  const Model model = ModelOf(3);
  LayerLoader loader(model, DenseWeights::kFloat, {true, 0, false});
  loader.Load(0, -1);
  EXPECT_THAT(Told(), ElementsAre("layer 0 on 100", "event on 100", "0 waits for 100",
                                  "tensor of 1 used on 0", "tensor of 2 used on 0",
                                  "tensor of 3 used on 0", "tensor of 4 used on 0"));
  EXPECT_EQ(current, 0);
}

TEST(LayerLoaderStreams, SoDoesTheThreadThatReadsAhead) {
  const Model model = ModelOf(3);
  LayerLoader loader(model, DenseWeights::kFloat, {true, 0, false});
  loader.Load(0, 1);
  const c10::StreamGuard guard(StreamOf(5));  // the caller may compute on any
  const DecoderLayer layer = loader.Load(1, -1);
  std::vector<std::string> found = Told();
  found.erase(found.begin(), std::find(found.begin(), found.end(), "layer 1 on 100"));
  EXPECT_THAT(found, ElementsAre("layer 1 on 100", "event on 100", "5 waits for 100",
                                 "tensor of 11 used on 5", "tensor of 12 used on 5",
                                 "tensor of 13 used on 5", "tensor of 14 used on 5"));
  EXPECT_EQ(current, 5);
}

TEST(LayerLoaderStreams, AllLoadersHaveOneStream) {
  const Model model = ModelOf(1);
  for (int i = 0; i < 2; ++i)
    LayerLoader(model, DenseWeights::kFloat, {true, 0, false}).Load(0, -1);
  EXPECT_THAT(Told(), ::testing::Contains("layer 0 on 100").Times(2));
}

TEST(LayerLoaderStreams, TheHostHasNone) {
  const Model model = ModelOf(1);
  LayerLoader(model, DenseWeights::kFloat, {}).Load(0, -1);
  EXPECT_THAT(Told(), ElementsAre("layer 0 on 0"));
}

}  // namespace
}  // namespace sq
