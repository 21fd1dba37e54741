#!/usr/bin/env python3
"""Finds a text for the demo to measure perplexity on, where WikiText-2 is not at hand, and puts it into a folder.

WikiText-2's test split as it was released (wikitext-2-raw/wiki.test.raw, which is a name that the tools know); without a
network the English documentation that ships with Python (python-documentation.txt). scripts/fetch_data.py gets more,
and needs more than Python.

usage: demo_text.py FOLDER
"""
import io
import pathlib
import sys
import urllib.request
import zipfile

URL = "https://huggingface.co/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip"
MEMBER = "wikitext-2-raw/wiki.test.raw"


def wikitext():
    try:
        with urllib.request.urlopen(URL, timeout=20) as answer:
            return zipfile.ZipFile(io.BytesIO(answer.read())).read(MEMBER)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        print(f"WikiText-2 cannot be downloaded ({error}); Python's documentation serves instead",
              file=sys.stderr)
        return None


def python_documentation():
    from pydoc_data import topics
    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics)).encode()


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, source in ((MEMBER, wikitext), ("python-documentation.txt", python_documentation)):
        text = source()
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
            return


if __name__ == "__main__":
    main()
