#!/usr/bin/env bash
# Installs what a build needs and is not there yet: Debian or Ubuntu packages (as root or by sudo) and LibTorch,
# unpacked into BUILD_DIR/libtorch. Run again it does nothing.
# usage: scripts/setup.sh [BUILD_DIR]      (default: build)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
build=${1:-build}

install_packages g++ cmake ninja-build ccache pkg-config git ca-certificates python3 python3-pip \
  libspdlog-dev libcli11-dev nlohmann-json3-dev libgtest-dev libgmock-dev libbenchmark-dev \
  libsentencepiece-dev libpcre2-dev libutf8proc-dev zlib1g-dev

torch_version=$(sed -n 's/^torch==\([^ ]*\).*/\1/p' scripts/requirements/libtorch.txt)
if [ "$(cat "$build/libtorch/version" 2>/dev/null)" = "$torch_version" ]; then exit 0; fi
[ "$(uname -m)" = x86_64 ] ||
  fail "LibTorch is pinned for x86_64 alone; bring your own: cmake -DCMAKE_PREFIX_PATH=<its folder>"
say "LibTorch $torch_version (about 550 MB to download)"
wheels=$build/wheels
rm -rf "$wheels" "$build/libtorch"
# A fixed Python version, whichever one is here: the C++ libraries are the same in all of these wheels.
download "$wheels" scripts/requirements/libtorch.txt --only-binary=:all: --python-version 3.11 \
  --implementation cp --abi cp311 --abi none --platform manylinux_2_28_x86_64 \
  --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64
python3 scripts/unpack_libtorch.py "$wheels" "$build/libtorch"
rm -rf "$wheels"
echo "$torch_version" >"$build/libtorch/version"
