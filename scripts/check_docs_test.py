#!/usr/bin/env python3
"""Tests of check_docs.py: small trees, each with one thing wrong. python3 scripts/check_docs_test.py"""

import tempfile
import unittest
from pathlib import Path

import check_docs


class CheckDocs(unittest.TestCase):
    def found(self, files, untracked=()):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"README.md": "", **files}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            tracked = [name for name in {"README.md": "", **files} if name not in untracked]
            return list(check_docs.problems(Path(folder), tracked))

    def assert_one(self, files, *parts, **more):
        found = self.found(files, **more)
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_accepts_files_folders_anchors_and_addresses(self):
        self.assertEqual(self.found({
            "README.md": "# Top\n[a](src/a.md#two-words), [b](#top), [c](src), [d](https://x.y/z#w) ![p](src/p.svg)\n",
            "src/a.md": "# A\n## Two words\n[up](../README.md#top) [root](..)\n", "src/p.svg": ""}), [])

    def test_refuses_missing_files(self):
        self.assert_one({"README.md": "\n[a](gone.md)\n"}, "README.md:2:", "gone.md", "no such file")
        self.assert_one({"src/a.md": "see ![a](README.svg)"}, "src/a.md:1:", "README.svg")
        self.assert_one({"README.md": "[a](build/b.md)", "build/b.md": ""}, "no such file", untracked=["build/b.md"])

    def test_finds_several_links_in_a_line(self):
        self.assertEqual(len(self.found({"README.md": "[a](x.md) and [`b`](y.md), [[c]](z.md)"})), 3)

    def test_refuses_ways_out(self):
        self.assert_one({"README.md": "[a](../x)"}, "out of the repository")
        self.assert_one({"README.md": "[a](/etc/hosts)"}, "absolute")

    def test_refuses_missing_anchors(self):
        self.assert_one({"README.md": "# One\n[a](#two)"}, "no heading #two in README.md")
        self.assert_one({"README.md": "[a](b.md#c)", "b.md": "    # c\n"}, "no heading #c in b.md")
        self.assert_one({"README.md": "[a](b.cc#L5)", "b.cc": ""}, "no Markdown")

    def test_knows_anchors_as_github_makes_them(self):
        text = "# `a_b`: C++ & d-e, 100 %\n## Twice\n## Twice ##\n### [Linked](x.md) text\n```\n# no heading\n```\n"
        self.assertEqual(list(check_docs.anchors(text)),
                         ["a_b-c--d-e-100-", "twice", "twice-1", "linked-text"])

    def test_passes_over_code(self):
        self.assertEqual(self.found({
            "README.md": "```\n[a](gone)\n```\ntext `[b](gone)` and ``[c`](gone)``\n\n    [d](gone)\n\n"}), [])
        # Four blanks within a list or a paragraph are no code.
        self.assert_one({"README.md": "- item\n    [a](gone)\n"}, "gone")

    def test_bounds_the_length_of_the_readme(self):
        self.assertEqual(self.found({"README.md": "x\n" * 150, "src/README.md": "x\n" * 500}), [])
        self.assert_one({"README.md": "x\n" * 151}, "151 lines, over 150")

    def test_a_tree_without_a_readme_is_an_error(self):
        with self.assertRaises(ValueError):
            self.found({}, untracked=["README.md"])


if __name__ == "__main__":
    unittest.main()
