#!/usr/bin/env bash
# Compares other methods with ours on the demo's model. Installs their packages into build/baselines/venv (about 3 GB to
# download, and llama.cpp to compile), runs scripts/baselines/baselines.py, and leaves the results
# in build/baselines/results.json and scripts/baselines/baselines.svg. A later run measures only what is missing.
# usage: scripts/baselines.sh [--calibration PATH] [OPTION of scripts/baselines/baselines.py...]
#   without C4 under SQ_DATA_DIR, --calibration names the text: .txt, .jsonl or a folder of .jsonl
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
work=build/baselines
python=/usr/bin/python3
calibration=()
case " $* " in *" --calibration"*) ;; *)
  [ -d "${SQ_DATA_DIR:-}/c4" ] || fail "no C4 in SQ_DATA_DIR: name a text to calibrate with, by --calibration"
  calibration=(--calibration "$SQ_DATA_DIR/c4") ;;
esac

scripts/demo.sh >/dev/null # the model, a text and our tools
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
  fail "$python is not Python 3.11, which scripts/requirements/baselines.txt has the wheels of"
if ! cmp -s scripts/requirements/baselines.txt "$work/venv/installed"; then
  say "the other methods' packages (about 3 GB to download, and llama.cpp to compile)"
  install_packages python3-venv python3-dev g++ cmake
  rm -rf "$work/venv"
  mkdir -p "$work"
  "$python" -m venv "$work/venv"
  pip=("$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes)
  "${pip[@]}" -r scripts/requirements/baselines_build.txt
  # llama.cpp as a library alone; hqq without its CUDA kernels.
  CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF" DISABLE_CUDA=1 \
    "${pip[@]}" --no-build-isolation -r scripts/requirements/baselines.txt
  cp scripts/requirements/baselines.txt "$work/venv/installed"
fi
export PATH=$PWD/build/bin:$PATH
choose_text build/demo build/demo/smollm2-135m-instruct
"$work/venv/bin/python" scripts/baselines/baselines.py build/demo/smollm2-135m-instruct \
  --dataset "$text" --data-dir "$data" "${calibration[@]}" \
  --work "$work" --json "$work/results.json" --plot scripts/baselines/baselines.svg "$@"
