#include "sq/model/layer_loader.h"

#include <ATen/Parallel.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <mutex>

namespace sq {
namespace {

// The stream that layers are copied on. The same one each time, as LibTorch keeps freed memory for
// the stream that it was allocated on.
c10::Stream CopyStream(at::Device device) {
  static std::mutex mutex;
  static std::map<at::DeviceIndex, c10::Stream> streams;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = streams.find(device.index());
  if (found != streams.end()) return found->second;
  const c10::impl::VirtualGuardImpl impl(device.type());
  return streams.emplace(device.index(), impl.getStreamFromGlobalPool(device)).first->second;
}

// Lets `stream` use the layer after `copied`, and nobody its memory before `stream` is done.
void HandOver(const DecoderLayer& layer, const c10::Event& copied, c10::Stream stream) {
  copied.block(stream);
  const auto used = [&](const at::Tensor& tensor) {
    if (tensor.defined()) tensor.record_stream(stream);
  };
  for (const LayerLinear& layer_linear : layer.linears) {
    const Linear& linear = layer_linear.linear;
    if (const auto* dense = std::get_if<at::Tensor>(&linear.weight)) used(*dense);
    used(linear.bias);
  }
  for (const LayerNorm& layer_norm : layer.norms) {
    used(layer_norm.norm.weight);
    used(layer_norm.norm.bias);
  }
}

}  // namespace

LayerLoader::Loaded LayerLoader::Read(int64_t layer) const {
  const at::Device where = TensorDevice(device_);
  if (where.is_cpu()) return {LoadDecoderLayer(model_, layer, dense_, device_), std::nullopt};
  const c10::StreamGuard beside(CopyStream(where));
  Loaded loaded{LoadDecoderLayer(model_, layer, dense_, device_), c10::Event(where.type())};
  loaded.copied->record(beside.current_stream());
  return loaded;
}

DecoderLayer LayerLoader::Load(int64_t layer, int64_t next) {
  Loaded loaded = next_.valid() && begun_ == layer ? next_.get() : Read(layer);
  if (loaded.copied) {
    const at::Device where = TensorDevice(device_);
    HandOver(loaded.layer, *loaded.copied,
             c10::impl::VirtualGuardImpl(where.type()).getStream(where));
  }
  if (device_.cuda && next >= 0 && next < model_.config.num_layers) {
    begun_ = next;
    next_ = std::async(std::launch::async, [this, next] {
      at::set_num_threads(1);  // as model/runtime.h has it; a new thread knows nothing of that
      MakeCurrent(device_);
      return Read(next);
    });
  }
  return std::move(loaded.layer);
}

}  // namespace sq
