#!/usr/bin/env bash
# The main job on a fresh machine: installs what is missing, builds, fetches a real model (SmolLM2-135M-Instruct),
# quantizes it four ways, evaluates each, and prints a table. Everything is kept in build/; a later run only measures what
# is missing.
# usage: scripts/demo.sh [--cuda] [--again]
#   --cuda    with LibTorch's CUDA libraries and the CUDA kernels, in build-cuda; runs on the GPU if there is one
#   --again   quantize and evaluate again
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
build=build
again=
options=()
for argument in "$@"; do
  case $argument in
    --cuda)
      need_nvcc
      build=build-cuda
      options=(-DSQ_CUDA=ON)
      ;;
    --again) again=yes ;;
    *) fail "unknown option $argument; usage: scripts/demo.sh [--cuda] [--again]" ;;
  esac
done
work=$build/demo
[ -z "$again" ] || rm -rf "$work"/{fp16-eval.json,w[34]*,w-sensitivity}

scripts/setup.sh "$build" ${options:+--cuda}
say "building the tools"
cmake -S . -B "$build" -G Ninja "${options[@]}" >"$build/configure.log" || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --target sq-quantize sq-eval sq-pack
export PATH=$PWD/$build/bin:$PATH
mkdir -p "$work"

model=$work/smollm2-135m-instruct
fetch_model "$work" "$model"

choose_text "$work" "$model"
calibration=self
[ -n "${SQ_DATA_DIR:-}" ] && [ -d "$SQ_DATA_DIR/c4" ] && calibration=$SQ_DATA_DIR/c4

evaluate() { # FOLDER NAME
  [ -e "$work/$2-eval.json" ] && return
  say "evaluating $2"
  sq-eval "$1" --dataset "$text" --data-dir "$data" --windows 8 --generate "Water boils at a temperature of" \
    --max-new-tokens 20 --json "$work/$2-eval.json"
}

evaluate "$model" fp16
for bits in 4 3; do
  for sparsity in 0 0.45; do
    name=w$bits-s${sparsity/0./}
    if [ ! -e "$work/$name/config.json" ]; then
      say "quantizing to $bits bits, $sparsity % outliers"
      # The Fisher information is the same for all four: the first run saves it.
      if [ -e "$work/w-sensitivity" ]; then
        how=(--sensitivity "$work/w-sensitivity")
      else
        how=(--calibration "$calibration" --samples 23 --save-sensitivity "$work/w-sensitivity")
      fi
      rm -rf "$work/$name.work"
      sq-quantize "$model" --output "$work/$name" --bits "$bits" --sparsity-percent "$sparsity" "${how[@]}"
    fi
    evaluate "$work/$name" "$name"
  done
done
python3 scripts/demo_table.py "$work" "$text"
