#include "sq/model/layer_loader.h"

#include <ATen/Parallel.h>

namespace sq {

DecoderLayer LayerLoader::Load(int64_t layer, int64_t next) {
  DecoderLayer loaded = next_.valid() && begun_ == layer
                            ? next_.get()
                            : LoadDecoderLayer(model_, layer, dense_, device_);
  if (device_.cuda && next >= 0 && next < model_.config.num_layers) {
    begun_ = next;
    next_ = std::async(std::launch::async, [this, next] {
      at::set_num_threads(1);  // as model/runtime.h has it; a new thread knows nothing of that
      MakeCurrent(device_);
      return LoadDecoderLayer(model_, next, dense_, device_);
    });
  }
  return loaded;
}

}  // namespace sq
