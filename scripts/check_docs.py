#!/usr/bin/env python3
"""Checks the Markdown documents: every relative link leads to a file or folder of this repository, every anchor to a
heading of that document, and README.md keeps to its length. One line per problem; exit 1 if any.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

README_LINES = 150
FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.+?)\s*#*\s*$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s<>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)  # https://, mailto:


def text_lines(text):
    """(number, line) of what is not code: neither fenced nor indented by four after an empty line."""
    fence, indented, empty = None, False, True
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence):
                fence = None
            continue
        if match:
            fence = match[1]
            continue
        indented = line.startswith("    ") and (empty or indented)
        empty = not line.strip()
        if empty:
            indented = False
        elif not indented:
            yield number, line


def anchors(text):
    """Anchors of the headings, as GitHub makes them."""
    found = {}
    for _, line in text_lines(text):
        match = HEADING.match(line)
        if match:
            title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).replace("`", "").lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            count = found.get(slug, 0)
            found[slug] = count + 1
            yield f"{slug}-{count}" if count else slug


def link_problem(root, file, target, tracked):
    """What is wrong with a link in `file`, a path from the root; None if nothing is."""
    path, _, anchor = unquote(target).partition("#")
    if path.startswith("/"):
        return "an absolute path"
    there = (root / file).parent / path if path else root / file
    try:
        name = there.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return "leads out of the repository"
    if not there.exists() or not any(name in (known, ".") or known.startswith(f"{name}/") for known in tracked):
        return "no such file in the repository"
    if anchor:
        if there.suffix != ".md":
            return "an anchor in a file that is no Markdown"
        if anchor not in anchors(there.read_text(encoding="utf-8")):
            return f"no heading #{anchor} in {name}"
    return None


def problems(root, tracked):
    """One line per problem. tracked: the paths of all files of the repository, from its root."""
    documents = [name for name in tracked if name.endswith(".md")]
    if "README.md" not in documents:
        raise ValueError(f"{root}: no README.md")
    for file in documents:
        text = (root / file).read_text(encoding="utf-8")
        for number, line in text_lines(text):
            for match in LINK.finditer(CODE.sub("", line)):
                problem = None if ABSOLUTE.match(match[1]) else link_problem(root, file, match[1], tracked)
                if problem:
                    yield f"{file}:{number}: {match[1]}: {problem}"
        if file == "README.md" and len(text.splitlines()) > README_LINES:
            yield f"{file}: {len(text.splitlines())} lines, over {README_LINES}"


def repository_files(root):
    """What git tracks or would track; in a copy without git, all files but build folders."""
    done = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                          capture_output=True, text=True)
    if done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.split("\0") if name and (root / name).is_file()]
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
    return [name for name in names if not name.startswith("build")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", metavar="DIR", type=Path, default=Path(__file__).resolve().parent.parent,
                        help="the checkout (default: the one this script is in)")
    arguments = parser.parse_args()
    try:
        found = list(problems(arguments.root, repository_files(arguments.root)))
    except (OSError, ValueError) as error:
        print(f"check_docs: {error}", file=sys.stderr)
        return 1
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
