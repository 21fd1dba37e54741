#!/usr/bin/env python3
"""Finds a text for the demo to measure perplexity on, and puts it into a folder as one .txt file.

WikiText-2's test split from $SQ_DATA_DIR; else downloaded; else, without a network, the English documentation
that ships with Python.

usage: demo_text.py FOLDER
"""
import io
import os
import pathlib
import sys
import urllib.request
import zipfile

URL = "https://huggingface.co/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip"


def local():
    folder = os.environ.get("SQ_DATA_DIR")
    for name in ("wikitext-2/test.txt", "wikitext-2-raw/wiki.test.raw"):
        if folder and (pathlib.Path(folder) / name).exists():
            return (pathlib.Path(folder) / name).read_bytes()
    return None


def downloaded():
    try:
        with urllib.request.urlopen(URL, timeout=20) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        return archive.read(next(n for n in archive.namelist() if n.endswith("test.raw")))
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        print(f"WikiText-2 cannot be downloaded ({error}); Python's documentation serves instead",
              file=sys.stderr)
        return None


def python_documentation():
    from pydoc_data import topics
    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics)).encode()


def main():
    folder = pathlib.Path(sys.argv[1])
    if any(folder.glob("*.txt")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in (("wikitext-2-test", local), ("wikitext-2-test", downloaded),
                         ("python-documentation", python_documentation)):
        text = source()
        if text is not None:
            (folder / f"{name}.txt").write_bytes(text)
            return


if __name__ == "__main__":
    main()
