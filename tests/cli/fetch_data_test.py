"""scripts/fetch_data.py against a hub of this machine: a server with as much of the hub's protocol as a download takes.
The files have as many rows as the real ones, and few bytes. Skipped where neither this Python nor
build/fetch-data-venv (scripts/fetch_data.py --setup) has huggingface_hub and pyarrow."""

import csv
import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

from cli_support import SCRATCH, SOURCE, CliTest, environment, make_model, read_json

SCRIPT = SOURCE / "scripts/fetch_data.py"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WIKITEXT = "datasets/Salesforce/wikitext/resolve/main/wikitext-2-raw-v1"
PTB = "datasets/ptb-text-only/ptb_text_only/resolve/refs/convert/parquet/penn_treebank"
C4 = "datasets/allenai/c4/resolve/main/en"
MMLU = "datasets/cais/mmlu/resolve/main/data.tar"


def python():
    """One that has the libraries, or None."""
    for candidate in (sys.executable, SOURCE / "build/fetch-data-venv/bin/python"):
        try:
            done = subprocess.run([candidate, "-c", "import huggingface_hub, pyarrow.parquet"], capture_output=True,
                                  check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return str(candidate)
    return None


PYTHON = python()


class Hub(http.server.ThreadingHTTPServer):
    """Serves `files`, {path: bytes}. `cut`: {path: bytes after which the connection is dropped, once}; where it
    `dies`, there is no answer any more from then on."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.etags, self.requests = {}, {}, {}, []
        self.dies = self.dead = False
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a dropped connection


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        hub, path = self.server, urllib.parse.unquote(self.path).lstrip("/")
        if hub.dead:
            self.close_connection = True
            return
        begin = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        hub.requests.append((self.command, path, begin))
        data = hub.files.get(path)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{hub.etags.get(path) or hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        stop = hub.cut.pop(path, None)
        self.wfile.write(data[begin:stop])
        if stop is not None:
            hub.dead = hub.dies
            self.close_connection = True
            self.connection.close()


def parquet_files(folder, files):
    """{name: bytes} of {name: (column, rows)}."""
    request = Path(folder) / "rows.json"
    request.write_text(json.dumps(files), encoding="utf-8")
    program = """
import json, pyarrow, pyarrow.parquet, sys
for i, (name, (column, rows)) in enumerate(json.load(open(sys.argv[1], encoding="utf-8")).items()):
    pyarrow.parquet.write_table(pyarrow.table({column: rows}), f"{sys.argv[2]}/{i}.parquet", row_group_size=1000)
"""
    subprocess.run([PYTHON, "-c", program, request, folder], check=True)
    return {name: (Path(folder) / f"{i}.parquet").read_bytes() for i, name in enumerate(files)}


def c4_shard(count):
    return gzip.compress(b"".join(b'{"text":"%d the rain"}\n' % i for i in range(count)), 1, mtime=0)


def mmlu_archive(test=14042, subjects=57, extra=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, data, **more):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
        for split, count in (("dev", 285), ("val", 1531), ("test", test)):
            for s in range(subjects):
                rows = io.StringIO()
                writer = csv.writer(rows)
                for i in range(s, count, subjects):
                    writer.writerow([f"Question {i},\nof two lines", "a", "b", "c", "d", "ABCD"[i % 4]])
                subject = f"subject_{chr(97 + s // 26)}{chr(97 + s % 26)}"
                add(f"data/{split}/{subject}_{split}.csv", rows.getvalue().encode())
        add("data/README.txt", b"about")
        for name, more in extra:
            add(name, b"", **more)
    return out.getvalue()


@unittest.skipUnless(PYTHON, "needs huggingface_hub and pyarrow: scripts/fetch_data.py --setup")
class FetchData(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {f"{WIKITEXT}/{split}-00000-of-00001.parquet":
                 ("text", ["", f" = {split} \u00e9 = \n"] * (count // 2))
                 for split, count in (("train", 36718), ("test", 4358))}
        files.update({f"{PTB}/{split}/0000.parquet": ("sentence", [f"{split} row {i}" for i in range(count)])
                      for split, count in (("train", 42068), ("validation", 3370), ("test", 3761))})
        cls.hub_files = parquet_files(cls.folder, files)
        cls.rows = {name: rows for name, (_, rows) in files.items()}
        cls.hub_files[f"{C4}/c4-validation.00000-of-00008.json.gz"] = c4_shard(45576)
        cls.hub_files[f"{C4}/c4-train.00000-of-01024.json.gz"] = c4_shard(356317)
        cls.hub_files[MMLU] = mmlu_archive()
        # The library waits longer before each retry.
        (cls.folder / "sitecustomize.py").write_text(
            "import time\nsleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 0.01))\n")

    def setUp(self):
        self.hub = Hub()
        self.hub.files = dict(self.hub_files)
        thread = threading.Thread(target=self.hub.serve_forever, args=(0.02,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.data = Path(tempfile.mkdtemp(dir=self.folder))

    def run_script(self, *arguments, code=0, **more):
        done = subprocess.run([PYTHON, SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=120,
                              env=environment(HF_HOME=str(self.folder / "home"), PYTHONPATH=str(self.folder), **more))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def fetch(self, *names, code=0):
        return self.run_script("--data-dir", self.data, "--endpoint", self.hub.endpoint, *names, code=code)

    def fails(self, *names):  # pylint: disable=arguments-differ
        """Its last line: the library may report retries before."""
        lines = self.fetch(*names, code=1).stderr.splitlines()
        self.assertEqual([line.startswith("error: ") for line in lines], [False] * (len(lines) - 1) + [True], lines)
        return lines[-1]

    def names(self):
        return sorted(str(path.relative_to(self.data)) for path in self.data.rglob("*") if path.is_file())

    def test_everything_in_the_layout_of_the_tools(self):
        done = self.fetch("all")
        csvs = [f"mmlu/{split}/subject_{chr(97 + s // 26)}{chr(97 + s % 26)}_{split}.csv"
                for split in ("dev", "val", "test") for s in range(57)]
        self.assertEqual(self.names(), sorted([
            "en/c4-train.00000-of-01024.json.gz", "en/c4-validation.00000-of-00008.json.gz",
            "penn_treebank/test/0000.jsonl", "penn_treebank/train/0000.jsonl",
            "penn_treebank/validation/0000.jsonl", "wikitext-2-raw-v1/test-00000-of-00001.jsonl",
            "wikitext-2-raw-v1/train-00000-of-00001.jsonl", *csvs]))
        self.assertEqual(len(done.stdout.splitlines()), 8)
        for name, column in (("wikitext-2-raw-v1/test-00000-of-00001", "text"),
                             ("penn_treebank/validation/0000", "sentence")):
            lines = (self.data / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
            original = next(rows for path, rows in self.rows.items() if path.endswith(f"{name}.parquet"))
            self.assertEqual([json.loads(line) for line in lines[:-1]], [{column: row} for row in original])
        # Again: nothing is asked for.
        asked = len(self.hub.requests)
        self.assertEqual(self.fetch("all").stdout, "")
        self.assertEqual(len(self.hub.requests), asked)
        model = make_model(self.folder / "model")
        for name in ("wikitext2", "ptb", "ptb-new", "c4-new"):
            with self.subTest(name):
                report = self.folder / "report.json"
                self.run_tool("sq-eval", model, "--dataset", name, "--data-dir", self.data, "--sequence-length", 64,
                              "--windows", 2, "--json", report)
                self.assertEqual(read_json(report)["results"][0]["windows"], 2)

    def test_an_interrupted_download_goes_on(self):
        name = f"{C4}/c4-train.00000-of-01024.json.gz"
        self.hub.files[name] += bytes(20 << 20)  # gzip allows zeros at the end; longer than what is kept at a time
        self.hub.cut[name] = 15 << 20
        self.fetch("c4")
        begins = [begin for method, path, begin in self.hub.requests if path == name and method == "GET"]
        self.assertEqual(begins[0], 0)
        self.assertGreater(begins[1], 0)
        self.assertEqual((self.data / "en/c4-train.00000-of-01024.json.gz").read_bytes(), self.hub.files[name])

    def test_a_download_broken_off_goes_on_in_the_next_run(self):
        name = f"{C4}/c4-validation.00000-of-00008.json.gz"
        self.hub.files[name] += bytes(20 << 20)  # gzip allows zeros at the end; longer than what is kept at a time
        self.hub.cut[name], self.hub.dies = 15 << 20, True
        self.assertIn("c4-validation.00000-of-00008.json.gz: cannot be downloaded: ", self.fails("c4"))
        self.assertEqual([n for n in self.names() if not n.startswith(".incoming")], [])
        self.hub.dies = self.hub.dead = False
        self.hub.requests.clear()
        self.fetch("c4")
        begins = [begin for method, path, begin in self.hub.requests if path == name and method == "GET"]
        self.assertEqual(len(begins), 1)
        self.assertGreater(begins[0], 0)
        self.assertFalse((self.data / ".incoming").exists())
        self.assertEqual((self.data / "en/c4-validation.00000-of-00008.json.gz").read_bytes(), self.hub.files[name])

    def test_wrong_bytes_are_refused(self):
        name = f"{C4}/c4-validation.00000-of-00008.json.gz"
        self.hub.etags[name] = "0" * 64
        self.assertIn("expected SHA-256 0000", self.fails("c4"))
        self.hub.etags.clear()
        self.hub.files[name] = c4_shard(45575)
        self.assertIn("expected 45576 rows, found 45575", self.fails("c4"))
        self.hub.files[name] = self.hub_files[name][:-9]
        self.assertIn("c4-validation", self.fails("c4"))
        table = f"{WIKITEXT}/train-00000-of-00001.parquet"
        self.hub.files[table] = self.hub_files[f"{WIKITEXT}/test-00000-of-00001.parquet"]
        self.assertIn("expected 36718 rows, found 4358", self.fails("wikitext2"))
        self.hub.files[table] = b"PAR1 not so"
        self.assertIn("cannot be converted", self.fails("wikitext2"))
        self.assertEqual([n for n in self.names() if not n.startswith(".incoming")], [])
        # And then the right ones come.
        self.hub.files = dict(self.hub_files)
        self.fetch("c4", "wikitext2")

    def test_an_archive_cannot_write_elsewhere(self):
        link = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
        for name, more, code in (
                ("../../outside/dev/escaped_dev.csv", {}, 1),  # one subject too many, wherever it wants to go
                (f"{self.folder}/dev/escaped_dev.csv", {}, 1),
                ("data/dev/escaped_dev.csv", link, 0),  # left aside
                ("data/dev/../escaped_dev.csv", {}, 0)):
            with self.subTest(name):
                self.hub.files[MMLU] = mmlu_archive(extra=[(name, more)])
                done = self.fetch("mmlu", code=code)
                if code:
                    self.assertIn("dev: expected 57 subjects", done.stderr)
                self.assertEqual(list(SCRATCH.rglob("*escaped*")), [])
                shutil.rmtree(self.data / "mmlu", ignore_errors=True)
        self.hub.files[MMLU] = mmlu_archive(test=14041)
        self.assertIn("test: expected 57 subjects with 14042 questions, found 57 with 14041", self.fails("mmlu"))

    def test_parquet_of_ones_own(self):
        """Files put there by hand are converted without a download, in the data folder and anywhere else."""
        for split in ("train", "test"):
            name = f"wikitext-2-raw-v1/{split}-00000-of-00001.parquet"
            (self.data / name).parent.mkdir(exist_ok=True)
            (self.data / name).write_bytes(self.hub_files[f"{WIKITEXT}/{split}-00000-of-00001.parquet"])
        self.fetch("wikitext2")
        self.assertEqual(self.hub.requests, [])
        self.assertEqual(len(self.names()), 4)
        single = self.data / "my.parquet"
        single.write_bytes(self.hub_files[f"{PTB}/test/0000.parquet"])
        self.assertEqual(self.run_script(single).stdout, f"{self.data}/my.jsonl\n")
        self.assertEqual((self.data / "my.jsonl").read_text(encoding="utf-8").count("\n"), 3761)
        # The command that the tools name.
        cached = self.data / "hub/datasets--Salesforce--wikitext/snapshots/1/wikitext-2-raw-v1"
        cached.mkdir(parents=True)
        shutil.copyfile(self.data / "wikitext-2-raw-v1/test-00000-of-00001.parquet",
                        cached / "test-00000-of-00001.parquet")
        model = make_model(self.folder / "small")
        evaluate = ("sq-eval", model, "--dataset", "wikitext2", "--data-dir", self.data / "hub", "--sequence-length",
                    64, "--windows", 1)
        line = CliTest.fails(self, *evaluate)
        command = re.search(r"scripts/fetch_data\.py (\S+\.parquet) converts", line)
        self.run_script(command[1])
        self.run_tool(*evaluate)

    def test_without_a_network(self):
        self.hub.shutdown()
        self.hub.server_close()
        line = self.fails("c4")
        self.assertIn("allenai/c4: en/c4-validation.00000-of-00008.json.gz: cannot be downloaded", line)
        self.assertIn("onnection refused", line)
        self.assertIn("--endpoint", line)

    def test_usage(self):
        for arguments in ((), ("c5",), ("c4",)):
            self.assertIn("usage:", self.run_script(*arguments, code=2).stderr)


class WithoutLibraries(CliTest):
    def test_says_what_is_missing(self):
        """A Python that has neither the libraries nor a way to them."""
        copy = self.folder / "scripts"
        (copy / "requirements").mkdir(parents=True)
        shutil.copyfile(SCRIPT, copy / "fetch_data.py")
        (copy / "requirements/fetch_data.txt").write_text("no-such-package==0\n", encoding="utf-8")
        # -S: no installed packages; pip in the venv finds no index.
        done = subprocess.run([sys.executable, "-S", "-E", copy / "fetch_data.py", "--data-dir", self.folder, "c4"],
                              capture_output=True, text=True, check=False, timeout=120,
                              env=environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=""))
        self.assertEqual(done.returncode, 1)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("== ")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn("pip install huggingface_hub pyarrow", lines[0])


if __name__ == "__main__":
    unittest.main()
