#!/usr/bin/env python3
"""Recreates tests/golden/mmlu: a tiny CSV tree in the layout of MMLU's original release, and the prompts,
token ids and answer tokens that scripts/reference.py and Hugging Face's tokenizers make of it.

    pip install torch transformers safetensors
    scripts/golden/make_golden_mmlu.py
"""

import csv
import json
import pathlib
import sys
import tempfile

import transformers

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from reference import mmlu_prompt, read_questions

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
OUT = GOLDEN / "mmlu"
CONTEXT = 265  # of the prompts whose ids are kept: some lose examples

# Everything that needs quoting, and what does not but looks as if: quotes inside, blanks, numbers.
QUESTIONS = {
    "us_foreign_policy": {
        "dev": [
            ["How did Donald say \"no\"?", "Loudly", "He said, \"no\"", "Twice", "Never", "B"],
            ["Which line\nfollows this one?", "This\none", "1,000", " a blank before", "", "D"],
            ["Größe und Maß, x² + y³ = ½ 😀?", "ja", "nein", "漢字", "N/A", "C"]],
        "test": [
            ["Plain question", "a", "b", "c", "d", "A"],
            ["A \"quoted\" word, and a comma", "\"", "\"\"", ",", "\n", "C"],
            ["Numbers", "007", "1.50", "-2", "1e5", "B"],
            ["A long one: " + "the model counts every second word. " * 9, "w", "x", "y", "z", "D"]],
    },
    "made_up": {
        "dev": [["One?", "1", "2", "3", "4", "A"], ["Two?", "1", "2", "3", "4", "B"],
                ["Three?", "1", "2", "3", "4", "C"]],
        "test": [["Four?", "1", "2", "3", "4", "D"]],
    },
}


def main():
    golden = {"prompts": [], "context": CONTEXT, "ids": []}
    for subject, splits in QUESTIONS.items():
        for split, rows in splits.items():
            folder = OUT / split
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / f"{subject}_{split}.csv", "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\r\n" if split == "dev" else "\n").writerows(rows)
    gpt2 = transformers.PreTrainedTokenizerFast(tokenizer_file=str(GOLDEN / "text/gpt2/tokenizer.json"))
    for subject in sorted(QUESTIONS):
        examples = read_questions(OUT, "dev", subject)
        for question in read_questions(OUT, "test", subject):
            prompts = [mmlu_prompt(subject, examples[:shots], question) for shots in range(len(examples) + 1)]
            ids = [gpt2(prompt).input_ids for prompt in prompts]
            shots = max(n for n, each in enumerate(ids) if len(each) <= CONTEXT)
            golden["prompts"].append({"subject": subject, "by_shots": prompts})
            golden["ids"].append({"shots": shots, "ids": ids[shots]})
    # Trained on little text, it has no tokens for " A" and so on; they take the place of its last four,
    # as they do in mmlu_test.cc.
    tokenizer = json.loads((GOLDEN / "text/gpt2/tokenizer.json").read_text(encoding="utf-8"))
    vocab, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    for place, letter in enumerate("ABCD", len(merges) - 4):
        vocab["Ġ" + letter] = vocab.pop(merges[place].replace(" ", ""))
        merges[place] = f"Ġ {letter}"
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(tokenizer, file)
        file.flush()
        with_letters = transformers.PreTrainedTokenizerFast(tokenizer_file=file.name)
    golden["answer_tokens"] = [with_letters(f"Answer: {letter}").input_ids[-1] for letter in "ABCD"]
    with open(OUT / "golden.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
