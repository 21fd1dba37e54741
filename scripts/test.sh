#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests.
# usage: scripts/test.sh [--sanitize | --cuda | --nvcc] [CTEST OPTION...]
#   --sanitize   with AddressSanitizer and UndefinedBehaviorSanitizer, in build-sanitize
#   --cuda       with LibTorch's CUDA libraries and the CUDA kernels, in build-cuda; tests that need a GPU are skipped
#                if there is none
#   --nvcc       without LibTorch, in build-nvcc: the CUDA kernels for all architectures, their machine code checked, and
#                the tests of everything below the model layer; needs a CUDA toolkit, but no GPU
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

folder=build
options=() setup=()
if [ "${1:-}" = --cuda ]; then
  shift
  need_nvcc
  folder=build-cuda
  options=(-DSQ_CUDA=ON)
  setup=(--cuda)
elif [ "${1:-}" = --nvcc ]; then
  shift
  need_nvcc
  folder=build-nvcc
  options=(-DSQ_CUDA=ON -DSQ_TOOLS=OFF)
  setup=(--no-libtorch)
fi
scripts/setup.sh "$folder" "${setup[@]}"
# One test loads our .pt files with torch.load; Debian has a PyTorch for its Python.
if apt-cache show python3-torch >/dev/null 2>&1; then install_packages python3-torch; fi
# Some tests write to a file system in user space.
if apt-cache show bindfs >/dev/null 2>&1; then install_packages bindfs; fi
# One test downloads with huggingface_hub from a local server.
install_packages python3-venv
scripts/fetch_data.py --setup || say "its test is skipped"
if [ "${1:-}" = --sanitize ]; then
  shift
  folder=build-sanitize
  options=(-DSQ_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo
    -DCMAKE_PREFIX_PATH="$PWD/build/libtorch")
  # LibTorch is not instrumented, and its globals would be reported as leaks.
  export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
fi
cmake -S . -B "$folder" -G Ninja -DSQ_WERROR=ON "${options[@]}"
cmake --build "$folder"
ctest --test-dir "$folder" --output-on-failure -j "$(nproc)" "$@"
