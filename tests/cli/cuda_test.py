"""--device cuda: through tools whose CUDA device is the host (tests/cuda_shim); the real tools on a GPU where there is
one, and what they say where there is none."""

import array
import os
import shutil
import signal
import subprocess
import unittest

from cli_support import (BIN, SHIM_BIN, SOURCE, CliTest, command, digests, make_answering_model, make_model, read_json,
                         read_safetensors, token_lists, write_json)

GOLDEN = ("llama-mha-fp16", "llama-gqa-tied-fp32", "llama3-rope-bf16", "llama-head-dim-fp16", "llama-sharded-bf16",
          "mistral-window-bf16", "qwen2-tied-bf16", "qwen3-bf16", "opt-fp16", "qwen2-yarn-bf16",
          "llama-dynamic-bf16", "mistral-longrope-bf16", "ministral-gelu-bf16", "phi3-fused-bf16")
DEVICE = "the host, as a CUDA device for tests"


def floats(entry):
    dtype, _, data = entry
    assert dtype == "F32"
    return array.array("f", data)


def relative_error(found, expected):
    """Sum of |found - expected| over the sum of |expected|."""
    return sum(abs(a - b) for a, b in zip(found, expected)) / sum(map(abs, expected))


class Agreement:
    """What must hold on any device, whose name the class has or, as None, does not know."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model", "--hidden", 64, "--intermediate", 96, "--layers", 4)
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(3, 24))

    def perplexity(self, model, tokens, *flags, **more):
        report = self.folder / "eval.json"
        self.run_tool("sq-eval", model, "--tokens", tokens, "--json", report, *flags, **more)
        report = read_json(report)
        return report["results"][0]["perplexity"], report["device"]

    def prepare(self, model, output, *flags):
        """Quantizes on the CPU: the bytes are those of any device, and a shim is slow."""
        self.quantize(model, output, "--uniform-sensitivity", "--device", "cpu", *flags)

    def check_name(self, name):
        if self.device_name is None:
            self.assertNotEqual(name, "cpu")
        else:
            self.assertEqual(name, self.device_name)

    def agrees(self, model, tokens, *flags, within=1e-3):
        cpu, name = self.perplexity(model, tokens, "--device", "cpu", *flags)
        self.assertEqual(name, "cpu")
        cuda, name = self.perplexity(model, tokens, "--device", "cuda", *flags)
        self.check_name(name)
        self.assertLess(abs(cuda / cpu - 1), within, f"{model}: {cpu} on the CPU, {cuda} on the device")
        return cpu, cuda

    def test_perplexity_of_every_architecture_dense_and_packed(self):
        # Ids that all vocabularies have; two windows of one length, which go together, and one of another.
        tokens = write_json(self.folder / "short.json", [*token_lists(2, 20, 96), list(range(3, 12))])
        for name in GOLDEN:
            model = SOURCE / "tests/golden/models" / name
            self.agrees(model, tokens, within=1e-4)
            output = self.folder / f"{name}-w3"
            self.prepare(model, output, "--bits", 3, "--sparsity-percent", 0.45)
            cpu, cuda = self.agrees(output, tokens)
            self.assertNotEqual(cpu, cuda)  # the kernels' numbers are not the CPU's

    def test_four_bits_and_logits(self):
        output = self.folder / "w4"
        self.prepare(self.model, output, "--sparsity-percent", 5)
        logits = {}
        for device in ("cpu", "cuda"):
            path = self.folder / f"{device}.safetensors"
            self.perplexity(output, self.tokens, "--device", device, "--logits", path)
            logits[device] = read_safetensors(path)
        self.assertEqual(logits["cpu"].keys(), logits["cuda"].keys())
        for name, expected in logits["cpu"].items():
            self.assertLess(relative_error(floats(logits["cuda"][name]), floats(expected)), 5e-3)

    def test_bfloat16_products(self):
        self.agrees(self.model, self.tokens, "--dtype", "bfloat16", within=0.01)
        exact, _ = self.perplexity(self.model, self.tokens, "--device", "cuda")
        rounded, _ = self.perplexity(self.model, self.tokens, "--device", "cuda", "--dtype", "auto")
        self.assertNotEqual(exact, rounded)

    def test_activations_that_do_not_fit(self):
        plenty, _ = self.perplexity(self.model, self.tokens, "--device", "cuda")
        little, _ = self.perplexity(self.model, self.tokens, "--device", "cuda", "--max-memory", "1K")
        self.assertEqual(plenty, little)

    def test_mmlu(self):
        mmlu = self.folder / "mmlu"
        for split in ("dev", "test"):
            (mmlu / split).mkdir(parents=True)
            rows = [f"What is {i}?,{i},one,two,none,{'ABCD'[i % 4]}" for i in range(6)]
            (mmlu / split / f"anatomy_{split}.csv").write_text("\n".join(rows), encoding="utf-8")
        model = make_answering_model(self.folder / "mmlu-model", "--hidden", 32, "--intermediate", 32, "--layers", 2)
        quantized = self.folder / "mmlu-w4"
        self.prepare(model, quantized)
        for folder, within in ((model, 1e-4), (quantized, 5e-3)):
            found = {}
            for device in ("cpu", "cuda"):
                path = self.folder / "mmlu.safetensors"
                report = self.folder / "mmlu.json"
                self.run_tool("sq-eval", folder, "--mmlu", mmlu, "--shots", 1, "--device", device, "--mmlu-logits",
                              path, "--json", report)
                found[device] = read_safetensors(path), read_json(report)["mmlu"]
            for name, expected in found["cpu"][0].items():
                self.assertLess(relative_error(floats(found["cuda"][0][name]), floats(expected)), within)
            if folder == model:
                for a, b in zip(*(mmlu["subjects"] for _, mmlu in found.values())):
                    self.assertEqual(a["answers"], b["answers"])

    def test_decoding(self):
        packed = self.folder / "decoded-w4"
        self.prepare(self.model, packed, "--sparsity-percent", 0.45)
        report = self.folder / "decoded.json"
        for model in self.model, packed:
            found = {}
            for device in ("cpu", "cuda"):
                self.run_tool("sq-eval", model, "--device", device, "--dtype", "float32", "--json", report, "--generate",
                              "The rain in", "--max-new-tokens", 12, "--tokens", self.tokens, "--benchmark", 20,
                              "--batch", 2, "--check")
                found[device] = read_json(report)
            cpu, cuda = found["cpu"], found["cuda"]
            if self.device_name is not None:  # elsewhere fp16 activations may turn a tie
                self.assertEqual(cuda["generated"]["ids"], cpu["generated"]["ids"])
            self.assertEqual(len(cuda["generated"]["ids"]), 12)
            self.check_name(cuda["device"])
            cpu, cuda = cpu["benchmark"], cuda["benchmark"]
            self.assertLess(abs(cuda["perplexity"] / cpu["perplexity"] - 1), 1e-3)
            # Tables are fp16 there and fp32 in a file.
            self.assertLessEqual(cuda["weight_bytes_per_token"], cpu["weight_bytes_per_token"] * 1.5)
            self.assertGreater(cuda["peak_device_memory_bytes"], cuda["weight_bytes_per_token"])
            self.assertGreater(cuda["memory_bandwidth_bytes_per_second"], 1e6)
            self.assertNotIn("peak_device_memory_bytes", cpu)

    def test_the_originals_checkpoints(self):
        packed, torch_file = self.folder / "original-w3", self.folder / "original.pt"
        self.prepare(self.model, packed, "--bits", 3, "--sparsity-percent", 0.45)
        self.run_tool("sq-pack", "export", packed, "--output", torch_file, folder=BIN)
        expected, _ = self.perplexity(packed, self.tokens, "--device", "cuda")
        found, name = self.perplexity(self.model, self.tokens, "--load", torch_file, "--wbits", 3, "--device", "cuda")
        self.check_name(name)
        # A .pt file has no embeddings: those of the model, which sq-quantize copied.
        self.assertEqual(found, expected)

    def test_calibration_with_text_of_its_own(self):
        flags = ("--calibration", "self", "--samples", 2, "--sequence-length", 16, "--device", "cuda")
        for name in ("self-a", "self-b"):
            self.quantize(self.model, self.folder / name, *flags)
        self.assertEqual(digests(self.folder / "self-a"), digests(self.folder / "self-b"))
        self.check_name(read_json(self.folder / "self-a/report.json")["calibration"]["device"])

    def fisher(self, name, *flags, **more):
        """A run that keeps its squared gradients; their tensors."""
        saved = self.folder / f"{name}-s"
        self.quantize(self.model, self.folder / name, "--calibration", self.tokens, "--bits", 3, "--sparsity-percent",
                      0.45, "--save-sensitivity", saved, *flags, **more)
        return {key: entry for path in saved.glob("*.safetensors") for key, entry in read_safetensors(path).items()}

    def test_the_fisher_information_and_the_codes_it_leads_to(self):
        exact = self.fisher("cpu", "--device", "cpu", "--dtype", "float32")
        for dtype, within in (("float32", 1e-3), ("bfloat16", 0.1)):
            name = f"cuda-{dtype}"
            found = self.fisher(name, "--device", "cuda", "--dtype", dtype)
            self.assertEqual(found.keys(), exact.keys())
            for tensor, expected in exact.items():
                self.assertLess(relative_error(floats(found[tensor]), floats(expected)), within, tensor)
            report = read_json(self.folder / name / "report.json")
            self.check_name(report["device"])
            self.check_name(report["calibration"]["device"])
            self.assertEqual(report["options"]["device"], "cuda")
            # The same sensitivities give the same bytes wherever they are used.
            for device in ("cpu", "cuda"):
                output = self.folder / f"{name}-on-{device}"
                self.quantize(self.model, output, "--sensitivity", self.folder / f"{name}-s", "--bits", 3,
                              "--sparsity-percent", 0.45, "--device", device)
                self.assertEqual(digests(output), digests(self.folder / name))

    def test_a_device_gives_the_same_bytes_in_every_run(self):
        first = self.fisher("first", "--device", "cuda", "--threads", 1)
        second = self.fisher("second", "--device", "auto", "--threads", 3, "--max-memory", "1K")
        self.assertEqual(first, second)
        self.assertEqual(digests(self.folder / "first"), digests(self.folder / "second"))


class OnTheShim(Agreement, CliTest):
    tools = SHIM_BIN
    device_name = DEVICE

    def test_a_device_lost_in_the_middle(self):
        self.fisher("whole", "--device", "cuda")
        flags = (self.model, "--calibration", self.tokens, "--bits", 3, "--sparsity-percent", 0.45)
        flags += ("--output", self.folder / "lost", "--save-sensitivity", self.folder / "lost-s")
        # Four layers forward and two backward are well; the third is the last that is told.
        line = self.fails("sq-quantize", *flags, "--device", "cuda", SQ_SHIM_LOST_AFTER="6")
        self.assertEqual(line, "error: CUDA: waiting for the device: unspecified launch failure")
        work = self.folder / "lost.work"
        self.assertEqual(sorted(path.name for path in work.glob("layer-*")),
                         ["layer-00002.safetensors", "layer-00003.safetensors"])
        self.assertFalse((self.folder / "lost").exists())
        # On the CPU sums come in another order: not mixed in.
        self.fails("sq-quantize", *flags, "--device", "cpu", "--resume", names=(work, " device ", '"cuda"', '"cpu"'))
        self.run_tool("sq-quantize", *flags, "--device", "cuda", "--resume")
        self.assertEqual(digests(self.folder / "lost"), digests(self.folder / "whole"))
        self.assertEqual(digests(self.folder / "lost-s"), digests(self.folder / "whole-s"))
        self.assertFalse(work.exists())

    def test_a_device_lost_while_evaluating(self):
        line = self.fails("sq-eval", self.model, "--tokens", self.tokens, "--device", "cuda", SQ_SHIM_LOST_AFTER="1")
        self.assertEqual(line, "error: CUDA: waiting for the device: unspecified launch failure")

    def test_out_of_memory_says_how_much_was_wanted(self):
        output = self.folder / "too-large"
        self.prepare(self.model, output)
        line = self.fails("sq-eval", output, "--tokens", self.tokens, "--device", "cuda", SQ_SHIM_MEMORY="5000")
        self.assertRegex(line, r"^error: CUDA: out of memory: [a-z ]+ wants \d+ bytes, \d+ of 5000 are free; a shorter "
                               r"--sequence-length would need less$")

    def test_devices_that_are_not_there(self):
        line = self.fails("sq-eval", self.model, "--tokens", self.tokens, "--device", "cuda:1")
        self.assertEqual(line, "error: device cuda:1: there is no such CUDA device")

    def test_auto_takes_the_device(self):
        self.assertEqual(self.perplexity(self.model, self.tokens)[1], DEVICE)

    def test_a_device_that_the_build_has_no_kernels_for(self):
        flags = ("sq-eval", self.model, "--tokens", self.tokens)
        problem = f"CUDA device 0, {DEVICE}, has compute capability 7.5; the kernels need 8.0"
        for device in ("cuda", "cuda:0"):
            self.fails(*flags, "--device", device, SQ_SHIM_CAPABILITY="75", names=(f"device {device}: {problem}",))
        done = self.run_tool(*flags, SQ_SHIM_CAPABILITY="75")
        self.assertIn(f"computing on the CPU: {problem}\n", done.stderr)

    def test_without_a_fisher_pass_another_device_may_go_on(self):
        whole, part = self.folder / "uniform", self.folder / "uniform-part"
        self.quantize(self.model, whole, "--uniform-sensitivity", "--device", "cpu")
        process = self.start("sq-quantize", self.model, "--output", part, "--uniform-sensitivity", "--device", "cuda")
        self.wait_for(self.folder / "uniform-part.work/layer-00001.safetensors", process)
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertEqual(process.returncode, 130)
        self.quantize(self.model, part, "--uniform-sensitivity", "--device", "cpu", "--resume")
        self.assertEqual(digests(part), digests(whole))


def has_gpu():
    return shutil.which("nvidia-smi") is not None or os.path.exists("/dev/nvidia0")


@unittest.skipUnless(has_gpu(), "there is no GPU")
class OnAGpu(Agreement, CliTest):
    device_name = None
    settings = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = subprocess.run(command("sq-eval", cls.model, "--tokens", cls.tokens, "--device", "cuda"),
                              capture_output=True, text=True, check=False)
        if "error: device cuda" in done.stderr:
            raise unittest.SkipTest(done.stderr.strip())


class WithoutAGpu(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model")
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(2, 16))

    def test_cuda_is_refused_in_one_line(self):
        for device in ("cuda", "cuda:0", "cuda:3"):
            for tool, flags in (("sq-eval", ("--tokens", self.tokens)),
                                ("sq-quantize", ("--output", self.folder / "out", "--uniform-sensitivity"))):
                line = self.fails(tool, self.model, *flags, "--device", device, names=(f"device {device}: ",))
                self.assertRegex(line, "no CUDA (driver|device)|built without CUDA")
        self.assertFalse((self.folder / "out").exists())

    def test_auto_is_the_cpu(self):
        report = self.folder / "eval.json"
        done = self.run_tool("sq-eval", self.model, "--tokens", self.tokens, "--json", report)
        self.assertEqual(read_json(report)["device"], "cpu")
        self.assertRegex(done.stderr, "computing on the CPU: (no CUDA (driver|device)|built without CUDA)")

    def test_other_names_are_usage_errors(self):
        for device in ("gpu", "cuda:", "cuda:x", "cuda:-1", ""):
            done = self.run_tool("sq-eval", self.model, "--tokens", self.tokens, "--device", device, code=2)
            self.assertIn("expected auto, cpu, cuda or cuda:N", done.stderr)


if __name__ == "__main__":
    unittest.main()
