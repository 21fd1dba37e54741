#!/usr/bin/env python3
"""Prints the demo's table from the reports that sq-quantize and sq-eval left.

usage: demo_table.py FOLDER TEXT
"""
import json
import pathlib
import sys

ROWS = (("FP16", "fp16"), ("4-bit", "w4-s0"), ("4-bit, 0.45 %", "w4-s45"), ("3-bit", "w3-s0"),
        ("3-bit, 0.45 %", "w3-s45"))


def weights_bytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def main():
    work, text = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    fisher = calibration = None
    lines, words = [], []
    for title, name in ROWS:
        evaluated = json.loads((work / f"{name}-eval.json").read_text())
        result = evaluated["results"][0]
        folder = work / name
        bits, seconds = "16.00", ""
        if name == "fp16":
            folder = pathlib.Path(evaluated["model"])
        else:
            report = json.loads((folder / "report.json").read_text())
            bits = f"{report['bits_per_weight']:.2f}"
            if "calibration" in report:
                calibration = report["calibration"]
                fisher = report["seconds"]["fisher"] + calibration["sampling_seconds"]
                seconds = f"{report['seconds']['total']:.0f}"
            else:
                seconds = f"{report['seconds']['total']:.0f} + {fisher or 0:.0f}"
        lines.append((title, f"{weights_bytes(folder) / 1e6:.1f} MB", bits,
                      f"{result['perplexity']:.2f}", seconds, f"{result['seconds']:.0f}"))
        text_words = evaluated["generated"]["text"].split()
        words.append(f"{title:>14}: {' '.join(text_words[:10])}")
    header = ("", "file size", "bits per weight", "perplexity", "seconds to quantize",
              "seconds to evaluate")
    widths = [max(len(row[i]) for row in [header, *lines]) for i in range(len(header))]
    for row in (header, *lines):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    if calibration is None:
        sys.exit(f"error: {work}: no report of the run that calibrated; scripts/demo.sh --again")
    device = "the CPU" if evaluated["device"] == "cpu" else evaluated["device"]
    source = calibration["source"]
    source = "text sampled by the model itself" if source == "self" else pathlib.Path(source).name
    print(f"\nPerplexity: {text.stem}, first {result['windows']} windows of "
          f"{result['sequence_length']} tokens. Bits per weight: of the quantized layers, tables and "
          f"outliers\nincluded. Calibration: {calibration['samples']} samples, {calibration['tokens']} "
          f"tokens of {source}; \"+ {fisher:.0f}\": the Fisher pass, done\nonce and shared. Computed on {device}.")
    print(f"\n\"{evaluated['generated']['prompt']} ...\", continued by each model:")
    print("\n".join(words))


if __name__ == "__main__":
    main()
