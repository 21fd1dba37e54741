"""Where outputs go: places that are links, mount points or pipes, places that are taken, and those that cannot be
written to, which is said before any work."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
import unittest

from cli_support import (TIMEOUT_SECONDS, CliTest, command, digests, environment, make_model, read_json,
                         token_lists, write_json)

RACES = 20


def mounted(folder, *options):
    """Mounts a small disk on a folder; the context ends it. None where that cannot be done."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        raise unittest.SkipTest(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    stack = contextlib.ExitStack()
    stack.callback(subprocess.run, ["umount", str(folder)], check=True)
    return stack


class Places(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model")
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists())
        cls.reference = cls.folder / "reference"
        subprocess.run(command("sq-quantize", cls.model, "--output", cls.reference, "--uniform-sensitivity", "-q"),
                       check=True, capture_output=True, env=environment())

    def place(self, name):
        path = self.folder / name
        path.mkdir()
        return path

    def check_made(self, output, *left):
        """The output is the reference; beside it lies what is `left`, and nothing of ours."""
        self.assertEqual(digests(output), digests(self.reference))
        self.assertEqual(sorted(path.name for path in output.parent.iterdir()), sorted([output.name, *left]))

    def make(self, output, **more):
        return self.run_tool("sq-quantize", self.model, "--output", output, "--uniform-sensitivity", **more)

    def test_links_are_followed_and_stay(self):
        place = self.place("links")
        (place / "disk").mkdir()
        (place / "link").symlink_to("disk")
        self.make(place / "link")
        self.assertTrue((place / "link").is_symlink())
        self.check_made(place / "disk", "link")
        (place / "dangling").symlink_to(place / "nowhere")
        self.make(place / "dangling")
        self.assertTrue((place / "dangling").is_symlink())
        self.check_made(place / "nowhere", "dangling", "disk", "link")

    def test_the_current_folder(self):
        place = self.place("current")
        (place / "here").mkdir()
        done = subprocess.run(command("sq-quantize", self.model, "--output", ".", "--uniform-sensitivity"),
                              cwd=place / "here", env=environment(), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_made(place / "here")

    def test_mount_points(self):
        place = self.place("mounts")
        for tool, output in (("quantize", place / "q"), ("dequantize", place / "d"), ("vllm", place / "v")):
            output.mkdir()
            with mounted(output, "-t", "tmpfs", "-o", "size=16m", "tmpfs"):
                (output / "lost+found").mkdir()
                if tool == "quantize":
                    self.make(output)
                elif tool == "dequantize":
                    self.run_tool("sq-pack", "dequantize", self.reference, "--output", output)
                else:
                    self.run_tool("sq-pack", "export", self.reference, "--format", "vllm", "--output", output)
                names = {path.name for path in output.iterdir()}
                self.assertTrue({"config.json", "model.safetensors", "lost+found"} <= names, names)
                self.assertFalse([name for name in names if name.startswith(".") or name.endswith(".tmp")])
                self.run_tool("sq-eval", output, "--tokens", self.tokens)

    def test_a_file_system_that_keeps_removed_files_while_they_are_open(self):
        place = self.place("fuse")
        (place / "below").mkdir()
        (place / "at").mkdir()
        try:
            done = subprocess.run(["bindfs", place / "below", place / "at"], capture_output=True, check=False)
        except FileNotFoundError:
            self.skipTest("no bindfs")
        if done.returncode:
            self.skipTest("bindfs cannot mount here")
        try:
            many = write_json(self.folder / "many.json", token_lists(40, 64))
            done = self.run_tool("sq-quantize", self.model, "--output", place / "at/q", "--calibration", many,
                                 "--max-memory", "1M", "--save-sensitivity", place / "at/s", TMPDIR="/nowhere")
            self.assertNotIn("could be removed", done.stderr)
            self.assertEqual(sorted(path.name for path in (place / "at").iterdir()), ["q", "s"])
            self.run_tool("sq-pack", "verify", place / "at/q")
        finally:
            subprocess.run(["umount", place / "at"], check=True)

    def test_reports_go_where_the_path_leads(self):
        evaluate = ("sq-eval", self.model, "--tokens", self.tokens)
        place = self.place("reports")
        self.run_tool(*evaluate, "--json", "/dev/null")
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))
        with open(place / "all.txt", "w") as out:
            subprocess.run(command(*evaluate, "--json", "/dev/stdout"), stdout=out, env=environment(), check=True,
                           stderr=subprocess.PIPE)
        text, _, report = (place / "all.txt").read_text().partition("{")
        self.assertIn("perplexity", text)
        self.assertEqual(len(json.loads("{" + report)["results"]), 1)
        os.mkfifo(place / "pipe")
        process = self.start(*evaluate, "--json", place / "pipe")
        with open(place / "pipe") as pipe:
            self.assertIn("results", json.load(pipe))
        self.assertEqual(process.wait(TIMEOUT_SECONDS), 0)
        process.communicate()
        self.assertTrue((place / "pipe").is_fifo())
        (place / "link.json").symlink_to("real.json")
        (place / "real.json.tmp").write_text("mine")
        self.run_tool(*evaluate, "--json", place / "link.json")
        self.assertTrue((place / "link.json").is_symlink())
        self.assertIn("results", read_json(place / "real.json"))
        self.assertEqual((place / "real.json.tmp").read_text(), "mine")
        self.assertEqual(len(list(place.iterdir())), 5)

    def test_what_is_the_users_beside_an_output_stays(self):
        place = self.place("beside")
        for name in ("o.tmp", "o.lock", "d.tmp"):
            (place / name).mkdir()
            (place / name / "notes").write_text("mine")
        self.make(place / "o")
        self.run_tool("sq-pack", "dequantize", self.reference, "--output", place / "d")
        for name in ("o.tmp", "o.lock", "d.tmp"):
            self.assertEqual((place / name / "notes").read_text(), "mine")
        self.assertEqual(len(list(place.iterdir())), 5)

    def test_said_before_the_work(self):
        missing = self.folder / "missing/report.json"
        evaluate, quantize = ("sq-eval", self.model, "--tokens", self.tokens), ("sq-quantize", self.model)
        output = self.folder / "early"
        same = ("--output", output, "--calibration", self.tokens)
        for arguments, name in (
                ((*evaluate, "--json", missing), missing), ((*evaluate, "--logits", missing), missing),
                ((*evaluate, "--baseline", self.folder / "none.json"), "none.json"),
                ((*evaluate, "--dataset", "missing.txt"), "missing.txt"),
                ((*evaluate, "--mmlu", self.folder / "none"), "none"),
                ((*evaluate, "--json", self.folder), self.folder),
                ((*quantize, *same, "--json", missing), missing),
                ((*quantize, *same, "--save-sensitivity", output), output),
                ((*quantize, *same, "--save-sensitivity", self.tokens / "s"), self.tokens),
                ((*quantize, *same, "--work-dir", self.tokens / "w"), self.tokens),
                ((*quantize, "--output", self.tokens / "o", "--calibration", self.tokens), self.tokens)):
            with self.subTest(arguments):
                done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False,
                                      env=environment())
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn(str(name), done.stderr.splitlines()[-1])
                self.assertNotIn("perplexity", done.stderr)
                self.assertFalse(output.exists() or output.with_name("early.work").exists())
        # In the folder that the run itself makes it can be.
        self.quantize(self.model, output, "--uniform-sensitivity", "--json", output / "mine.json")
        self.assertEqual(read_json(output / "mine.json"), read_json(output / "report.json"))

    def test_a_running_run_is_called_one(self):
        output = self.folder / "running"
        slow = write_json(self.folder / "slow.json", token_lists(200, 128))
        first = self.start("sq-quantize", self.model, "--output", output, "--calibration", slow)
        try:
            self.wait_for(output.with_name("running.work") / "run.json", first)
            first.send_signal(signal.SIGSTOP)  # it runs for as long as this takes
            for more in ((), ("--resume",), ("--work-dir", self.folder / "other.work")):
                line = self.fails("sq-quantize", self.model, "--output", output, "--calibration", self.tokens, *more,
                                  names=(f"{output} is in use: sq-quantize is running there (pid {first.pid} on ",))
                self.assertNotIn("interrupted", line)
            self.fails("sq-pack", "dequantize", self.reference, "--output", output, names=(f"(pid {first.pid} on ",))
            # Another output, but the same work folder.
            self.fails("sq-quantize", self.model, "--output", self.folder / "elsewhere", "--uniform-sensitivity",
                       "--work-dir", output.with_name("running.work"), names=(f"(pid {first.pid} on ",))
        finally:
            first.send_signal(signal.SIGTERM)
            first.send_signal(signal.SIGCONT)
            first.communicate()
        self.assertFalse((self.folder / "other.work").exists())
        self.assertFalse((self.folder / "elsewhere").exists())

    def test_of_many_runs_with_one_output_one_wins(self):
        draw = random.Random(3)
        for race in range(RACES):
            place = self.place(f"race-{race}")
            output = place / "out"
            if race % 3 == 0:
                output.mkdir()
            quantize = ("sq-quantize", self.model, "--output", output, "--uniform-sensitivity")
            runs = [quantize, quantize, (*quantize, "--work-dir", place / "work"),
                    ("sq-pack", "dequantize", self.reference, "--output", output),
                    ("sq-pack", "export", self.reference, "--format", "vllm", "--output", output)]
            draw.shuffle(runs)
            processes = []
            for arguments in runs:
                processes.append(self.start(*arguments))
                time.sleep(draw.choice((0, 0, 0.003, 0.02)))
            errors = [process.communicate(timeout=TIMEOUT_SECONDS)[1] for process in processes]
            self.assertEqual(sorted(process.returncode for process in processes), [0] + [1] * 4, errors)
            for process, error in zip(processes, errors):
                if process.returncode:
                    last = error.splitlines()[-1]
                    self.assertRegex(last, r"^error: .*(is in use: |is there already)")
                    self.assertNotIn("interrupted", error)
            self.assertEqual([path.name for path in place.iterdir()], ["out"])
            names = {path.name for path in output.iterdir()}
            self.assertTrue({"config.json", "model.safetensors"} <= names, names)
            self.run_tool("sq-eval", output, "--tokens", self.tokens)

    def test_a_killed_run_leaves_the_place_to_the_next(self):
        draw = random.Random(5)
        for number in range(10):
            place = self.place(f"killed-{number}")
            output = place / "out"
            if number % 2:
                output.mkdir()
            process = self.start("sq-pack", "dequantize", self.reference, "--output", output)
            time.sleep(draw.uniform(0.005, 0.05))
            process.kill()
            process.communicate()
            if not (output / "config.json").exists():
                self.run_tool("sq-pack", "dequantize", self.reference, "--output", output)
                self.assertEqual([path.name for path in place.iterdir()], ["out"])
            self.run_tool("sq-eval", output, "--tokens", self.tokens)


if __name__ == "__main__":
    unittest.main()
