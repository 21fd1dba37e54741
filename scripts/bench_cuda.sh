#!/usr/bin/env bash
# Every figure of the CUDA half in one run on a machine with a GPU, in about 25 minutes: tests on the device, machine
# code, the LUT-GEMV beside cuBLAS and the original's algorithm, k-means, and a checkpoint of LLaMA-2-7B's shape from
# disk to quantized, decoded and measured. Results in build-cuda/bench/*.json, a summary at the end.
# usage: scripts/bench_cuda.sh [--smoke | --built]
#   --smoke   without a GPU: the same steps with tiny shapes, kernels run by the host; the times mean nothing
#   --built   with the programs that are in build-cuda/bin already, such as on a machine that cannot build
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
mode=${1:-}
case $mode in "" | --smoke | --built) ;;
  *) fail "unknown option $mode; usage: scripts/bench_cuda.sh [--smoke | --built]" ;; esac
build=build-cuda
[ "$mode" = --smoke ] && build=build
work=$build/bench
mkdir -p "$work"

if [ "$mode" = --smoke ]; then
  scripts/setup.sh "$build"
  say "building"
  cmake -S . -B "$build" -G Ninja >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
  cmake --build "$build" --target cuda_tests bench_cuda_matmul_smoke shim-quantize shim-eval
  bin=$build/bin-shim
  tests=("$build/bin/cuda_tests" --gtest_brief=1)
  matmul=("$build/bin/bench_cuda_matmul_smoke" --smoke)
  tune=("${matmul[@]}" --tune --shape 128 256)
  kmeans=()
  shape=(--hidden 256 --intermediate 512 --layers 2 --heads 4 --kv-heads 4)
  samples=4 length=64 tokens=8
else
  if [ "$mode" != --built ]; then
    need_nvcc
    scripts/setup.sh "$build" --cuda
    say "building for the GPU at hand"
    cmake -S . -B "$build" -G Ninja -DSQ_CUDA=ON -DSQ_BENCH=ON -DSQ_CUDA_ARCHITECTURES=native >"$work/configure.log" ||
      { cat "$work/configure.log"; exit 1; }
    cmake --build "$build" --target cuda_device_tests bench_cuda_matmul bench_cuda_kmeans sq-quantize sq-eval
  fi
  bin=$build/bin
  tests=("$build/bin/cuda_device_tests" --gtest_brief=1)
  matmul=("$build/bin/bench_cuda_matmul")
  tune=("${matmul[@]}" --tune --shape 4096 4096 --shape 11008 4096)
  kmeans=("$build/bin/bench_cuda_kmeans")
  shape=(--hidden 4096 --intermediate 11008 --layers 32 --heads 32 --kv-heads 32 --vocab 32000 --shards 3)
  samples=100 length=512 tokens=128
fi

say "tests on the device"
"${tests[@]}"
if [ "$mode" != --smoke ] && sanitizer=$(command -v compute-sanitizer); then
  for tool in memcheck racecheck; do
    say "$tool"
    "$sanitizer" --tool "$tool" --error-exitcode 1 "${tests[@]}" --gtest_filter='LutGemv.*:CudaCsr.*:CudaKmeans*'
  done
fi
if [ -f "$build/kernels/libsq_cuda.a" ] && [ -x "$build/cuda-tools/bin/cuobjdump" ]; then
  say "machine code"
  scripts/check_machine_code.py --tools "$build/cuda-tools/bin" --table "$build/kernels/libsq_cuda.a" |
    tee "$work/machine-code.md"
fi

say "matrix times vector"
"${matmul[@]}" --json "$work/matmul.json"
say "choices that kernels/cuda/tuning.cc makes"
"${tune[@]}" --json "$work/tune.json"
if [ ${#kmeans[@]} -gt 0 ]; then
  say "k-means"
  "${kmeans[@]}" | tee "$work/kmeans.txt"
fi

say "a checkpoint of LLaMA-2-7B's shape"
model=$work/llama-7b-shape
if [ ! -e "$model" ]; then
  rm -rf "$model.tmp"
  python3 scripts/make_tiny_checkpoint.py "$model.tmp" "${shape[@]}"
  mv "$model.tmp" "$model"
fi
python3 - "$work/ids.json" "$samples" "$length" <<'PY'
import json, random, sys
path, samples, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(0)
json.dump([[draw.randrange(256) for _ in range(length)] for _ in range(samples)], open(path, "w"))
PY
for kind in "4 0" "3 0.45"; do
  read -r bits sparsity <<<"$kind"
  out=$work/w$bits
  rm -rf "$out" "$out.work"
  "$bin/sq-quantize" "$model" --output "$out" --bits "$bits" --sparsity-percent "$sparsity" --device cuda \
    --calibration "$work/ids.json" --json "$work/quantize-w$bits.json"
done
python3 - "$work/ids.json" "$work/decode-ids.json" "$tokens" <<'PY'
import json, sys
ids = json.load(open(sys.argv[1]))[:1]
json.dump([row[:int(sys.argv[3])] for row in ids], open(sys.argv[2], "w"))
PY
for name in fp16 w4 w3; do
  folder=$work/$name
  [ "$name" = fp16 ] && folder=$model
  say "decoding: $name"
  "$bin/sq-eval" "$folder" --device cuda --benchmark "$tokens" --check --tokens "$work/decode-ids.json" \
    --json "$work/decode-$name.json"
done
python3 scripts/bench_cuda_table.py "$work"
