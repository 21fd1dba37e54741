"""The operator squeezellm::lut_linear (lut_linear.cc): loads it and tells torch.compile its shapes."""

from pathlib import Path

import torch

LIBRARY = Path(__file__).with_name("squeezellm_op.so")
if not LIBRARY.exists():
    raise ImportError(f"{LIBRARY}: is missing; install by `pip install --no-build-isolation ./tools/serving`, which "
                      "builds it, and import from elsewhere than the source folder")
try:
    torch.ops.load_library(LIBRARY)
except OSError as error:
    raise ImportError(f"{LIBRARY}: does not load into torch {torch.__version__}; install anew, so that it is built "
                      f"against this torch ({error})") from error

lut_linear = torch.ops.squeezellm.lut_linear


@torch.library.register_fake("squeezellm::lut_linear")
def _(x, qweight, lookup_table, rows, cols, vals, bias=None):
    return x.new_empty(*x.shape[:-1], qweight.shape[1])
