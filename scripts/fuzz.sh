#!/usr/bin/env bash
# Builds the fuzz targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer in build-fuzz, and runs each from its
# seeds in tests/fuzz/corpus. Inputs found on the way are kept in build-fuzz/corpus, a crash in build-fuzz/crashes.
# usage: scripts/fuzz.sh [SECONDS] [TARGET...]     default: 60 seconds for each target; TARGET: such as model_config
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "expected seconds, found $seconds; usage: scripts/fuzz.sh [SECONDS] [TARGET...]"
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/fuzz_*.cc; do
    target=$(basename "$source" .cc)
    targets+=("${target#fuzz_}")
  done
fi
for target in "${targets[@]}"; do
  [ -e "tests/fuzz/fuzz_$target.cc" ] || fail "no fuzz target $target: tests/fuzz/fuzz_$target.cc does not exist"
done

scripts/setup.sh --no-libtorch build-fuzz
install_packages clang
cmake -S . -B build-fuzz -G Ninja -DSQ_FUZZ=ON -DSQ_TOOLS=OFF -DSQ_TESTS=OFF -DCMAKE_CXX_COMPILER=clang++
cmake --build build-fuzz --target "${targets[@]/#/fuzz_}"
mkdir -p build-fuzz/crashes
for target in "${targets[@]}"; do
  found=build-fuzz/corpus/$target
  mkdir -p "$found"
  options=("-max_total_time=$seconds" -print_funcs=0 -verbosity=0 "-artifact_prefix=build-fuzz/crashes/$target-")
  [ ! -e "tests/fuzz/$target.dict" ] || options+=("-dict=tests/fuzz/$target.dict")
  # A zstd file may ask for a window of 2 GiB.
  case $target in documents | token_ranks) options+=(-malloc_limit_mb=4096 -rss_limit_mb=4096) ;; esac
  say "$target: $seconds seconds"
  "build-fuzz/bin/fuzz_$target" "${options[@]}" "$found" "tests/fuzz/corpus/$target"
done
