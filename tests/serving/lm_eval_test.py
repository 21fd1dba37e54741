"""lm-evaluation-harness runs a task on a quantized folder, and finds what it finds on the same weights unpacked."""

import json
import tempfile
import unittest
from pathlib import Path

import lm_eval
import support
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer
from transformers_test import unpacked

import squeezellm_serving  # noqa: F401  all that the harness needs

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Japan": "Tokyo",
            "Egypt": "Cairo", "Russia": "Moscow", "Greece": "Athens", "England": "London", "China": "Beijing"}

TASK = """
task: sq_capitals
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{{{country}}}} is"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""


class Harness(unittest.TestCase):
    def evaluate(self, model, tasks, **arguments):
        result = lm_eval.simple_evaluate(model=model, tasks=["sq_capitals"], task_manager=tasks, bootstrap_iters=0,
                                         batch_size=16, **arguments)
        samples = sorted(result["samples"]["sq_capitals"], key=lambda sample: sample["doc_id"])
        likelihoods = [float(answer[0]) for sample in samples for answer in sample["filtered_resps"]]
        return result["results"]["sq_capitals"]["acc,none"], torch.tensor(likelihoods)

    def test_capitals(self):
        folder = support.folder("3-bit, 0.45 %")
        names = list(CAPITALS.values())
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "capitals.jsonl"
            with file.open("w") as lines:
                for number, country in enumerate(CAPITALS):
                    choices = [names[(number + step) % len(names)] for step in (0, 3, 5, 7)]
                    choices = choices[-(number % 4):] + choices[:-(number % 4)]
                    row = {"country": country, "choices": choices, "answer": choices.index(CAPITALS[country])}
                    lines.write(json.dumps(row) + "\n")
            (Path(scratch) / "capitals.yaml").write_text(TASK.format(file=file))
            tasks = TaskManager(include_path=scratch, include_defaults=False)
            accuracy, likelihoods = self.evaluate("hf", tasks, device="cpu",
                                                  model_args={"pretrained": str(folder), "dtype": "float32"})
            reference = HFLM(pretrained=unpacked(folder), tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")
            expected_accuracy, expected = self.evaluate(reference, tasks)
        self.assertEqual(likelihoods.shape, (40,))
        difference = float((likelihoods - expected).abs().max())
        print(f"lm-eval, {len(CAPITALS)} questions: accuracy {accuracy:.2f}, log-likelihoods within {difference:.1e} nats "
              "of the unpacked model's")
        self.assertLess(difference, 1e-3)
        self.assertEqual(accuracy, expected_accuracy)
        self.assertGreater(accuracy, 0.5)  # a quarter is chance


if __name__ == "__main__":
    unittest.main()
