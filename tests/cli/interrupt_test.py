"""What an interruption leaves of sq-eval and sq-pack."""

import signal
import unittest

from cli_support import TIMEOUT_SECONDS, CliTest, make_model, token_lists, write_json


class Interrupts(CliTest):
    """sq-eval and sq-pack keep nothing of an interrupted run, and say so. What sq-quantize keeps: resume_test.py."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model", "--hidden", 256, "--intermediate", 704, "--layers", 12)
        cls.work = cls.folder / "work"
        cls.work.mkdir()

    def interrupted(self, process, number):
        """Sends the signal and checks the exit code; returns stdout and the last line of stderr."""
        process.send_signal(number)
        out, error = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 130, error)
        return out, error.splitlines()[-1]

    def test_evaluation_reports_nothing(self):
        tokens = write_json(self.folder / "slow.json", token_lists(400, 128))
        for number in (signal.SIGINT, signal.SIGTERM):
            report = self.work / "report.json"
            process = self.start("sq-eval", self.model, "--tokens", tokens, "--json", report)
            self.assertIn("computing on", process.stderr.readline())
            self.assertEqual(self.interrupted(process, number),
                             ("", "error: interrupted; no results are reported; the next run starts over"))
            self.assertEqual(list(self.work.iterdir()), [])

    def test_packing_writes_nothing(self):
        quantized = self.folder / "quantized"
        self.quantize(self.model, quantized, "--uniform-sensitivity")
        for arguments in (("dequantize", quantized), ("export", quantized, "--format", "vllm")):
            process = self.start("sq-pack", *arguments, "--output", self.work / "out")
            while not list(self.work.iterdir()):  # its temporary folder is the first thing that it makes
                self.assertIsNone(process.poll(), "the run ended before it could be interrupted")
            self.assertEqual(self.interrupted(process, signal.SIGINT), ("", "error: interrupted; nothing was written"))
            self.assertEqual(list(self.work.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
