#!/usr/bin/env python3
"""Downloads the data sets of the published protocols from the Hugging Face hub, as the tools look for them.

    scripts/fetch_data.py --data-dir DIR wikitext2 c4 ptb mmlu     or: all
    scripts/fetch_data.py FILE.parquet ...                         converts to FILE.jsonl, beside it

Existing files are left alone; an interrupted download continues where it stopped; a file gets its name when it is complete
and has the expected size, checksum and number of rows. Downloads need huggingface_hub and conversion needs pyarrow: those
of the Python that runs this script, or else of a venv made in build/ (once, checksums checked).
"""

import argparse
import csv
import fcntl
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "scripts/requirements/fetch_data.txt"
VENV = ROOT / "build/fetch-data-venv"


@dataclass
class Source:
    """A data set on the hub: its files, each with its number of rows."""
    repository: str
    files: dict
    revision: str = "main"


SOURCES = {
    "wikitext2": Source("Salesforce/wikitext", {
        "wikitext-2-raw-v1/train-00000-of-00001.parquet": 36718,
        "wikitext-2-raw-v1/test-00000-of-00001.parquet": 4358}),
    "c4": Source("allenai/c4", {
        "en/c4-validation.00000-of-00008.json.gz": 45576,
        "en/c4-train.00000-of-01024.json.gz": 356317}),
    # Its own branch has only a loading script; the hub converts.
    "ptb": Source("ptb-text-only/ptb_text_only", {
        "penn_treebank/train/0000.parquet": 42068,
        "penn_treebank/validation/0000.parquet": 3370,
        "penn_treebank/test/0000.parquet": 3761}, revision="refs/convert/parquet"),
    # The original release; becomes mmlu/<split>/<subject>_<split>.csv.
    "mmlu": Source("cais/mmlu", {"data.tar": {"dev": 285, "val": 1531, "test": 14042}}),
}
MMLU_SUBJECTS = 57


class Failed(Exception):
    """One line for the user."""


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def set_up():
    """Makes the venv, unless it is there with the very requirements."""
    installed = VENV / "requirements.txt"
    if installed.exists() and installed.read_bytes() == REQUIREMENTS.read_bytes():
        return
    say("huggingface_hub and pyarrow (about 65 MB to download)")
    shutil.rmtree(VENV, ignore_errors=True)
    run = {"capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-m", "venv", VENV], **run)
    why = "python3 -m venv fails; Debian has it in python3-venv"
    if done.returncode == 0:
        done = subprocess.run([VENV / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check",
                               "--require-hashes", "--only-binary=:all:", "-r", REQUIREMENTS], **run)
        why = (done.stderr.strip() or "pip fails").splitlines()[-1]
    if done.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Failed("huggingface_hub and pyarrow are not installed, and a venv with them cannot be made: "
                     f"{why} (or: pip install huggingface_hub pyarrow)")
    shutil.copyfile(REQUIREMENTS, installed)


def need(module):
    """Restarts the script in the venv if this Python lacks `module`."""
    if importlib.util.find_spec(module) is None:
        if Path(sys.prefix) == VENV:
            raise Failed(f"{VENV}: no {module} in it; delete this folder and run again")
        set_up()
        os.execv(VENV / "bin/python", [str(VENV / "bin/python"), __file__, *sys.argv[1:]])


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(source, name, folder, endpoint):
    """The file, complete and checked, in `folder`; continues an earlier run's download."""
    need("huggingface_hub")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import huggingface_hub as hub
    from huggingface_hub.file_download import http_get  # hf_hub_download starts over in each run
    what = f"{source.repository}: {name}"
    say(what)
    url = hub.hf_hub_url(source.repository, name, repo_type="dataset", revision=source.revision, endpoint=endpoint)
    try:
        remote = hub.get_hf_file_metadata(url)
        folder.mkdir(parents=True, exist_ok=True)
        # Named after its content: another version on the hub is another file.
        path = folder / f"{name.replace('/', '--')}.{re.sub('[^0-9A-Za-z]', '', remote.etag or '')}"
        with open(path, "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if remote.size is not None and file.tell() > remote.size:
                file.seek(0)
                file.truncate()
            http_get(url, file, resume_size=file.tell(), expected_size=remote.size,
                     headers=hub.utils.build_hf_headers())
    except BlockingIOError:
        raise Failed(f"{what}: another run downloads it") from None
    except Exception as error:  # pylint: disable=broad-except  # also those of the library's own libraries
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise Failed(f"{what}: cannot be downloaded: {why} (run again to go on; a mirror goes by --endpoint or "
                     "HF_ENDPOINT)") from None
    # Large files' ETag on the hub is their checksum.
    if re.fullmatch("[0-9a-f]{64}", remote.etag or "") and sha256(path) != remote.etag:
        path.unlink()
        raise Failed(f"{what}: expected SHA-256 {remote.etag}, found another; run again")
    return path


def write_json_lines(parquet, path):
    """Every column of each row. Returns the number of rows."""
    import pyarrow
    import pyarrow.parquet
    try:
        count = 0
        with pyarrow.parquet.ParquetFile(parquet) as table, open(path, "w", encoding="utf-8", newline="\n") as out:
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += batch.num_rows
        return count
    except (pyarrow.ArrowException, OSError, TypeError) as error:
        raise Failed(f"{parquet}: cannot be converted: {str(error).splitlines()[0]}") from error


def convert(parquet, target, expected=None):
    """`target` gets its name when it is complete, and has the expected number of rows."""
    need("pyarrow")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        count = write_json_lines(parquet, made)
        check_rows(parquet, count, count if expected is None else expected)
        os.replace(made, target)


def check_rows(path, found, expected):
    if found != expected:
        raise Failed(f"{path}: expected {expected} rows, found {found}")


def count_lines(path):
    try:
        with gzip.open(path, "rb") as file:
            return sum(1 for _ in file)
    except (OSError, EOFError, zlib.error) as error:
        raise Failed(f"{path}: {error}") from error


def count_questions(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if any(len(row) != 6 for row in rows):
        raise Failed(f"{path.name}: expected a question, four choices and an answer in each row")
    return len(rows)


def unpack_mmlu(archive, target, expected):
    """Takes the questions alone, each under a name made here: nothing of the archive can land elsewhere."""
    with tempfile.TemporaryDirectory(prefix=".mmlu-", dir=target.parent) as scratch:
        counts, subjects = dict.fromkeys(expected, 0), dict.fromkeys(expected, 0)
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    match = re.fullmatch(r"(?:.*/)?(dev|val|test)/([a-z_]+)_\1\.csv", member.name)
                    if not match or not member.isfile():
                        continue
                    split, subject = match.groups()
                    path = Path(scratch, target.name, split, f"{subject}_{split}.csv")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as file, open(path, "wb") as out:
                        shutil.copyfileobj(file, out)
                    counts[split] += count_questions(path)
                    subjects[split] += 1
        except (tarfile.TarError, OSError, UnicodeDecodeError, csv.Error) as error:
            raise Failed(f"{archive}: {error}") from error
        for split, count in expected.items():
            if (subjects[split], counts[split]) != (MMLU_SUBJECTS, count):
                raise Failed(f"{archive}: {split}: expected {MMLU_SUBJECTS} subjects with {count} questions, found "
                             f"{subjects[split]} with {counts[split]}")
        os.replace(Path(scratch, target.name), target)


def fetch(name, data_dir, endpoint):
    source = SOURCES[name]
    incoming = data_dir / ".incoming" / source.repository.replace("/", "--")
    for file, rows in source.files.items():
        target = data_dir / ("mmlu" if name == "mmlu" else file.replace(".parquet", ".jsonl"))
        if target.exists():
            say(f"{target}: there already")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        own = data_dir / file  # an unconverted file that the user has
        path = own if own.exists() else download(source, file, incoming, endpoint)
        try:
            if name == "mmlu":
                unpack_mmlu(path, target, rows)
            elif file.endswith(".parquet"):
                convert(path, target, rows)
            else:
                check_rows(path, count_lines(path), rows)
                os.replace(path, target)
        except Failed:
            if path != own:
                path.unlink()  # damaged or another file: not to be taken for a complete download again
            raise
        print(target)
    shutil.rmtree(incoming, ignore_errors=True)
    if incoming.parent.is_dir() and not any(incoming.parent.iterdir()):
        incoming.parent.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SOURCES)}, all, or a file *.parquet")
    parser.add_argument("--data-dir", default=os.environ.get("SQ_DATA_DIR"), help="where they go [SQ_DATA_DIR]")
    parser.add_argument("--endpoint", help="address of the hub or of a mirror of it [HF_ENDPOINT]")
    parser.add_argument("--setup", action="store_true", help="only make the venv with what this needs")
    arguments = parser.parse_args()
    names = [name for given in arguments.names for name in (SOURCES if given == "all" else [given])]
    for name in names:
        if name not in SOURCES and not name.endswith(".parquet"):
            parser.error(f"{name}: expected {', '.join(SOURCES)}, all, or a file *.parquet")
    if not names and not arguments.setup:
        parser.error(f"name what to fetch: {', '.join(SOURCES)} or all")
    if any(name in SOURCES for name in names) and not arguments.data_dir:
        parser.error("name a folder with --data-dir or in SQ_DATA_DIR")
    try:
        if arguments.setup:
            set_up()
        for name in names:
            if name in SOURCES:
                fetch(name, Path(arguments.data_dir), arguments.endpoint)
                continue
            target = Path(name).with_suffix(".jsonl")
            if target.exists():
                say(f"{target}: there already")
                continue
            convert(Path(name), target)
            print(target)
    except KeyboardInterrupt:
        return 130
    except (Failed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
