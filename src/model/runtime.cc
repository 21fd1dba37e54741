#include "sq/model/runtime.h"

#include <ATen/Parallel.h>
#include <malloc.h>
#include <torch/headeronly/version.h>

#include "sq/base/parallel.h"

namespace sq {

void SetUpLibTorch() {
  at::set_num_threads(1);
  // That setting is per thread for OpenMP, MKL and oneDNN.
  SetWorkerSetup([] { at::init_num_threads(); });
  // Activations come and go by the megabyte: by default each would be mapped anew, page by page.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

std::string LibTorchVersion() { return TORCH_VERSION; }

}  // namespace sq
