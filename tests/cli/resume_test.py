"""A run that is killed, interrupted or left without room goes on with --resume and gives the bytes of one that never
stopped."""

import random
import shlex
import shutil
import signal
import subprocess
import time
import unittest

from cli_support import (TIMEOUT_SECONDS, CliTest, command, digests, environment, is_log, make_model, read_json,
                         token_lists, write_json)

FLAGS = ("--bits", 3, "--sparsity-percent", 0.45, "--dtype", "float32")
KILLS = 12


class Resume(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model", "--hidden", 128, "--intermediate", 160, "--layers", 8)
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(12, 128))

    def arguments(self, name, *more):
        return (self.model, "--output", self.folder / name, "--calibration", self.tokens, *FLAGS,
                "--save-sensitivity", self.folder / f"{name}-s", *more)

    def whole(self):
        """The run that nothing disturbs, made once: its bytes and how long it took."""
        cls = type(self)
        if not hasattr(cls, "reference"):
            began = time.monotonic()
            self.run_tool("sq-quantize", *self.arguments("whole"))
            cls.seconds = time.monotonic() - began
            cls.reference = self.bytes_of("whole")
        return cls.reference

    def bytes_of(self, name):
        return digests(self.folder / name), digests(self.folder / f"{name}-s")

    def check_nothing_left(self, name):
        left = {path.name for path in self.folder.glob(f"{name}*")}
        self.assertEqual(left, {name, f"{name}-s"})

    def test_kills_at_random_moments(self):
        whole, draw = self.whole(), random.Random(1)
        process = self.start("sq-quantize", *self.arguments("killed"))
        for _ in range(KILLS):
            time.sleep(draw.uniform(0.02, 1.1) * self.seconds)
            process.kill()
            process.communicate()
            process = self.start("sq-quantize", *self.arguments("killed", "--resume"))
        out, error = process.communicate(timeout=TIMEOUT_SECONDS)
        if process.returncode != 0:  # the last but one was done already
            self.assertIn(f"{self.folder}/killed: is there already", error)
        else:
            self.assertIn("3 bits", out)
        self.assertEqual(self.bytes_of("killed"), whole)
        self.check_nothing_left("killed")

    def test_kill_after_each_layer(self):
        """Many short lives: each ends as soon as one more layer is there."""
        whole = self.whole()
        process = self.start("sq-quantize", *self.arguments("layers"))
        for layer in (7, 6, 4, 1):
            self.wait_for(self.folder / f"layers.work/layer-{layer:05}.safetensors", process)
            process.kill()
            process.communicate()
            process = self.start("sq-quantize", *self.arguments("layers", "--resume"))
        self.assertEqual(process.communicate(timeout=TIMEOUT_SECONDS)[1].count("error"), 0)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(self.bytes_of("layers"), whole)
        self.check_nothing_left("layers")

    def test_interrupt_keeps_the_state(self):
        whole = self.whole()
        for number, name in ((signal.SIGINT, "int"), (signal.SIGTERM, "term")):
            process = self.start("sq-quantize", *self.arguments(name))
            self.wait_for(self.folder / f"{name}.work/layer-00006.safetensors", process)
            process.send_signal(number)
            _, error = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual(process.returncode, 130, error)
            lines = [line for line in error.splitlines() if line and not is_log(line)]
            self.assertEqual(len(lines), 2, error)
            self.assertEqual(lines[0], "stopping at the next safe point; interrupt again to stop immediately")
            told = "error: interrupted; to resume from what is finished, run: "
            self.assertTrue(lines[1].startswith(told), lines[1])
            resume = shlex.split(lines[1][len(told):])
            self.assertEqual(resume, command("sq-quantize", "--resume", *self.arguments(name)))
            self.assertRegex(error, rf"{name}.work keeps \d of 8 layers: --resume goes on from there")
            self.assertTrue((self.folder / f"{name}.work/gradient.safetensors").exists())
            self.assertFalse((self.folder / name).exists())
            if number == signal.SIGINT:
                work = self.folder / f"{name}.work"
                self.fails("sq-quantize", *self.arguments(name), names=(work, "interrupted run", "--resume"))
                self.refuses_other_options(name)
            # As a user would paste it.
            subprocess.run(lines[1][len(told):], shell=True, check=True, capture_output=True, env=environment(),
                           timeout=TIMEOUT_SECONDS)
            self.assertEqual(self.bytes_of(name), whole)
            self.check_nothing_left(name)

    def test_resume_command_is_quoted_and_names_the_flag_once(self):
        output = self.folder / "it's a $HOME"
        for flags in ((), ("--resume",)):
            # What follows "--" is the model.
            arguments = ("--samples", 10000, "--calibration", "self", "--output", output, "--", self.model)
            process = self.start("sq-quantize", *flags, *arguments)
            self.wait_for(self.folder / f"{output.name}.work/run.json", process)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual(process.returncode, 130, error)
            resume = shlex.split(error.splitlines()[-1].split("run: ")[1])
            self.assertEqual(resume, command("sq-quantize", "--resume", *arguments))

    def refuses_other_options(self, name):
        output, saved = self.folder / name, ("--save-sensitivity", self.folder / f"{name}-s")
        same = ("--calibration", self.tokens)
        other_tokens = write_json(self.folder / "other.json", token_lists(2, 8))
        for option, flags in (
                ("bits", ("--bits", 4, *FLAGS[2:], *same, *saved)),
                ("outlier_fraction", ("--sparsity-percent", 0.5, *FLAGS[:2], *FLAGS[4:], *same, *saved)),
                ("dtype", ("--dtype", "bfloat16", *FLAGS[:4], *same, *saved)),
                ("seed", (*FLAGS, *same, *saved, "--seed", 1)),
                ("calibration", (*FLAGS, "--calibration", other_tokens, *saved)),
                ("save_sensitivity", (*FLAGS, *same)),
                # Two things differ here; the first by name is told.
                ("save_sensitivity", (*FLAGS, "--uniform-sensitivity"))):
            self.fails("sq-quantize", self.model, "--output", output, *flags, "--resume",
                       names=(f"{name}.work/run.json", f" {option} "))
        other = make_model(self.folder / "other-model")
        self.fails("sq-quantize", other, "--output", output, *FLAGS, *same, *saved, "--resume",
                   names=(" model ",))

    def test_resume_without_a_run_starts_one_and_after_it_changes_nothing(self):
        flags = ("--uniform-sensitivity", "--resume")
        self.quantize(self.model, self.folder / "fresh", *flags)
        before = digests(self.folder / "fresh", without=())
        self.fails("sq-quantize", self.model, "--output", self.folder / "fresh", *flags,
                   names=(self.folder / "fresh", "is there already"))
        self.assertEqual(digests(self.folder / "fresh", without=()), before)

    def test_run_killed_between_its_last_steps_is_made_up_for(self):
        """The output is there, the sensitivity and the work folder too."""
        self.whole()
        process = self.start("sq-quantize", *self.arguments("late"))
        self.wait_for(self.folder / "late.work/layer-00001.safetensors", process)
        process.send_signal(signal.SIGINT)
        process.communicate()
        kept = self.folder / "kept"
        subprocess.run(["cp", "-r", self.folder / "late.work", kept], check=True)
        self.run_tool("sq-quantize", *self.arguments("late", "--resume"))
        kept.rename(self.folder / "late.work")
        done = self.run_tool("sq-quantize", *self.arguments("late", "--resume", "--json", self.folder / "late.json"))
        self.assertIn("3 bits", done.stdout)
        self.assertEqual(read_json(self.folder / "late.json"), read_json(self.folder / "late/report.json"))
        (self.folder / "late.json").unlink()
        self.check_nothing_left("late")

    def test_run_killed_while_it_began(self):
        work = self.folder / "began.work"
        work.mkdir()
        (work / "lock").write_text("")
        (work / "run.json.a1b2c3.tmp").write_text("{")
        self.quantize(self.model, self.folder / "began", "--uniform-sensitivity")
        self.assertFalse(work.exists())

    def test_goes_on_with_the_same_model_and_text_wherever_they_lie(self):
        """And with no other, wherever that lies."""
        whole = self.whole()
        process = self.start("sq-quantize", *self.arguments("moved"))
        self.wait_for(self.folder / "moved.work/layer-00005.safetensors", process)
        process.send_signal(signal.SIGINT)
        process.communicate()
        model, tokens = self.folder / "copy of the model", self.folder / "copy of the tokens.json"
        shutil.copytree(self.model, model)
        write_json(tokens, read_json(self.tokens))
        arguments = (model, "--output", self.folder / "moved", "--calibration", tokens, *FLAGS,
                     "--save-sensitivity", self.folder / "moved-s", "--resume")
        weights = bytearray((model / "model.safetensors").read_bytes())
        trained = bytearray(weights)
        for at in range(len(trained) // 2, len(trained)):
            trained[at] ^= 1
        for path, before, after, name in ((model / "model.safetensors", weights, trained, "model"),
                                          (tokens, tokens.read_bytes(),
                                           tokens.read_bytes().replace(b"[0, 7,", b"[1, 7,"), "calibration")):
            path.write_bytes(after)
            self.fails("sq-quantize", *arguments, names=("moved.work/run.json", f" {name} "))
            path.write_bytes(before)
        config = read_json(model / "config.json")
        write_json(model / "config.json", {**config, "rope_theta": 500.0})
        self.fails("sq-quantize", *arguments, names=("moved.work/run.json", " model "))
        shutil.copy(self.model / "config.json", model)
        self.run_tool("sq-quantize", *arguments)
        self.assertEqual(self.bytes_of("moved"), whole)


if __name__ == "__main__":
    unittest.main()
