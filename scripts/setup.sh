#!/usr/bin/env bash
# Installs what a build needs and is missing: Debian or Ubuntu packages (as root or by sudo) and LibTorch, which is unpacked
# into BUILD_DIR/libtorch. A second run does nothing.
# usage: scripts/setup.sh [BUILD_DIR] [--cuda | --no-libtorch]      (default: build)
#   --cuda          LibTorch with its CUDA libraries, about 2.5 GB to download; needs a CUDA toolkit, but neither GPU nor
#                   driver. Without this option, a LibTorch that already has them is kept.
#   --no-libtorch   no LibTorch, for builds with -DSQ_TOOLS=OFF
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
build=build
cuda=
libtorch=yes
for argument in "$@"; do
  case $argument in
    --cuda) cuda=yes ;;
    --no-libtorch) libtorch= ;;
    -*) fail "unknown option $argument; usage: scripts/setup.sh [BUILD_DIR] [--cuda | --no-libtorch]" ;;
    *) build=$argument ;;
  esac
done
[ -z "$cuda" ] || need_nvcc

install_packages g++ cmake ninja-build ccache pkg-config git ca-certificates python3 python3-pip \
  libspdlog-dev libcli11-dev nlohmann-json3-dev libgtest-dev libgmock-dev \
  libsentencepiece-dev libpcre2-dev libutf8proc-dev zlib1g-dev libzstd-dev

wheels=$build/wheels
# For a fixed Python version, whichever is installed: the C++ libraries are the same in all of these wheels.
fetch() { # REQUIREMENTS
  local options=(--only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 --abi none) glibc
  for glibc in 2_28 2_27 2_25 2_18 2_17 2_12 2_5; do options+=(--platform "manylinux_${glibc}_x86_64"); done
  download "$wheels" "scripts/requirements/$1" "${options[@]}" --platform manylinux2014_x86_64
}

# For the check of the kernels' machine code.
if [ -n "$(find_nvcc)" ] && [ "$(uname -m)" = x86_64 ] && [ ! -x "$build/cuda-tools/bin/nvdisasm" ]; then
  say "cuobjdump and nvdisasm (about 5 MB to download)"
  rm -rf "$wheels" "$build/cuda-tools"
  fetch cuda_tools.txt
  python3 scripts/unpack_libtorch.py --tools "$wheels" "$build/cuda-tools"
  rm -rf "$wheels"
fi

[ -n "$libtorch" ] || exit 0
torch_version=$(sed -n 's/^torch==\([^ ]*\).*/\1/p' scripts/requirements/libtorch.txt)
found=$(cat "$build/libtorch/version" 2>/dev/null || true)
if [ "$found" = "$torch_version cuda" ] || [ "$found" = "$torch_version$cuda" ]; then exit 0; fi
[ "$(uname -m)" = x86_64 ] ||
  fail "LibTorch is pinned for x86_64 alone; bring your own: cmake -DCMAKE_PREFIX_PATH=<its folder>"
if [ -n "$cuda" ]; then
  say "LibTorch $torch_version with its CUDA half (about 2.5 GB to download)"
else
  say "LibTorch $torch_version (about 550 MB to download)"
fi
rm -rf "$wheels" "$build/libtorch"
fetch libtorch.txt
[ -z "$cuda" ] || fetch libtorch_cuda.txt
python3 scripts/unpack_libtorch.py ${cuda:+--cuda} "$wheels" "$build/libtorch"
rm -rf "$wheels"
echo "$torch_version${cuda:+ cuda}" >"$build/libtorch/version"
