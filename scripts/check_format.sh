#!/usr/bin/env bash
# Checks that all C++ and CUDA sources are formatted as .clang-format says, by clang-format 14 (from PyPI, in build/format,
# if the system does not have that version). Lists the files that are not; exit 1 if there are any.
# usage: scripts/check_format.sh [--fix]
#   --fix   formats them
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
fix=
case ${1:-} in "") ;; --fix) fix=yes ;; *) fail "unknown option $1; usage: scripts/check_format.sh [--fix]" ;; esac

is_pinned() { "$1" --version 2>/dev/null | grep -q 'version 14\.'; }
program=
for candidate in clang-format-14 clang-format build/format/bin/clang-format; do
  if is_pinned "$candidate"; then
    program=$candidate
    break
  fi
done
if [ -z "$program" ]; then
  say "clang-format (about 1 MB to download)"
  install_packages python3-venv python3-pip
  rm -rf build/format
  python3 -m venv build/format
  build/format/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary=:all: \
    -r scripts/requirements/format.txt || fail "could not download clang-format; when the network is back, run this again"
  program=build/format/bin/clang-format
fi

mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.cc' '*.cu' '*.cuh')
[ ${#files[@]} -gt 0 ] || fail "no sources found; this needs a git checkout"
if [ -n "$fix" ]; then
  "$program" -i "${files[@]}"
  exit 0
fi
unformatted=0
for file in "${files[@]}"; do
  if ! "$program" --dry-run -Werror "$file" 2>/dev/null; then
    echo "$file"
    unformatted=$((unformatted + 1))
  fi
done
[ "$unformatted" -eq 0 ] ||
  fail "$unformatted of ${#files[@]} files are not formatted; scripts/check_format.sh --fix formats them"
say "${#files[@]} files are formatted"
