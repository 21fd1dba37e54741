#!/usr/bin/env python3
"""Other methods beside ours on one model: perplexity over the bits that each stores, as a table, as JSON
and as a plot.

Every method calibrates on the same token ids and quantizes the same linear layers; embedding, head and norms
stay in fp16; sq-eval measures all. A row that was measured before is not measured again, and one whose package
is missing is left out with a line that says so. scripts/baselines.sh installs the packages.

The model is measured with its channels shuffled (scripts/baselines/shuffle_channels.py says why); methods with groups,
which are the ones that see the order, also in the order of the file.
"""

import argparse
import collections
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys

try:
    import numpy as np
    import safetensors.numpy  # noqa: F401  (shuffle_channels reads and writes with it)
except ImportError as error:
    sys.exit(f"baselines: {error}; scripts/baselines.sh installs it")

# Threads that wait would count as CPU seconds, and on a busy machine for most of them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import baseline_methods as methods
import baselines_plot
import shuffle_channels

# run: Model -> (layers, bits stored), after prepare: Model -> CPU seconds, for what rows share; or options: of
# sq-quantize. grouped: whether the order of the channels matters.
Row = collections.namedtuple("Row", "title family run prepare options grouped",
                             defaults=(None, None, None, True))


def other(title, family, method, *parameters, prepare=None, grouped=True):
    return Row(title, family, lambda model: method(model, *parameters), prepare, grouped=grouped)


def rows():
    yield Row("FP16", "FP16")
    for bits in (4, 3):
        for percent in ("0", "0.05", "0.45"):
            outliers = "" if percent == "0" else f", {percent} %"
            options = ("--bits", str(bits), "--sparsity-percent", percent)
            yield Row(f"ours {bits}-bit{outliers}", "ours", options=options, grouped=False)
    for bits in (4, 3):
        yield other(f"RTN {bits}-bit, channel", "RTN", methods.rtn, bits, grouped=False)
        yield other(f"RTN {bits}-bit, g64", "RTN", methods.rtn, bits, 64)
    for bits in (4, 3):
        yield other(f"HQQ {bits}-bit, g64", "HQQ", methods.hqq, bits, 64)
    for kind in ("Q4_0", "Q4_1", "IQ4_NL", "Q4_K_M", "Q3_K_M", "IQ3_XXS"):
        yield other(kind, "llama.cpp", methods.llama_cpp, kind, prepare=methods.prepare_llama_cpp)
    for bits in (4, 3):
        yield other(f"GPTQ {bits}-bit, channel", "GPTQ", methods.gptq, bits, grouped=False)
        yield other(f"GPTQ {bits}-bit, g64", "GPTQ", methods.gptq, bits, 64)


def run_tool(arguments, name, *command):
    command = [os.path.join(arguments.bin, name), *map(str, command), "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ValueError(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


def write_json(path, content):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    os.rename(path + ".tmp", path)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def documents(path):
    """The texts of a .jsonl file, of a folder of them in order of name, or of one .txt file."""
    for file in sorted(glob.glob(os.path.join(path, "*.jsonl"))) if os.path.isdir(path) else [path]:
        with open(file, encoding="utf-8") as text:  # which reads \r\n as \n
            if file.endswith(".txt"):
                yield text.read()
            else:
                yield from (json.loads(line)["text"] for line in text if line.strip())


def calibration_tokens(arguments, path):
    """The first --samples x --sequence-length tokens of the documents, tokenized one by one and joined."""
    wanted = arguments.samples * arguments.sequence_length
    texts, length = [], 0
    for text in documents(arguments.calibration):
        texts.append(text)
        length += len(text)
        if length > 20 * wanted:  # far more characters than a token has
            break
    write_json(path, texts)
    tokens = sum(json.loads(run_tool(arguments, "sq-eval", arguments.model, "--tokenize", path)), [])
    if len(tokens) < wanted:
        raise ValueError(f"{arguments.calibration}: {len(tokens)} tokens, expected at least {wanted}")
    write_json(path, np.reshape(tokens[:wanted], (arguments.samples, -1)).tolist())


def cpu_seconds():
    """Of this process and of the tools that it ran: unlike wall time, it hardly depends on what else runs."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def sensitivity(arguments, model):
    """The Fisher pass, once for all rows. Returns (folder, CPU seconds, those of one quantization included)."""
    folder, report = (os.path.join(model.work, name) for name in ("fisher", "fisher.json"))
    if not os.path.exists(report):
        output = os.path.join(model.work, "calibrated")
        for path in (folder, output, output + ".work"):
            shutil.rmtree(path, ignore_errors=True)
        started = cpu_seconds()
        run_tool(arguments, "sq-quantize", model.folder, "--output", output, "--calibration", arguments.tokens,
                 "--samples", arguments.samples, "--sequence-length", arguments.sequence_length,
                 "--save-sensitivity", folder)
        shutil.rmtree(output)
        write_json(report, {"cpu_seconds": cpu_seconds() - started})
    return folder, read_json(report)["cpu_seconds"]


def quantize_ours(arguments, row, model, output):
    """Returns (bytes stored, CPU seconds, CPU seconds of what rows share)."""
    folder, shared = sensitivity(arguments, model)
    shutil.rmtree(output + ".work", ignore_errors=True)
    started = cpu_seconds()
    run_tool(arguments, "sq-quantize", model.folder, "--output", output, *row.options,
             "--sensitivity", folder)
    report = read_json(os.path.join(output, "report.json"))
    return sum(layer["bytes"] for layer in report["layers"]), cpu_seconds() - started, shared


def quantize_other(row, model, output):
    """The same for a method of baseline_methods."""
    shared = row.prepare(model) if row.prepare else 0
    started = cpu_seconds()
    layers, bits = row.run(model)
    elapsed = cpu_seconds() - started
    if layers.keys() != methods.linear_weights(model).keys():
        raise ValueError(f"{row.title}: not the model's linear layers")
    weights = {name: layers.get(name, weight).astype(np.float16)
               for name, weight in model.weights.items()}
    for name, weight in weights.items():
        if weight.shape != model.weights[name].shape or not np.isfinite(weight).all():
            raise ValueError(f"{row.title}: {name} has another shape or values beyond the range of fp16")
    shuffle_channels.write_model(weights, model.folder, output)
    return bits / 8, elapsed, shared


def measure(arguments, row, model):
    count = sum(weight.size for weight in methods.linear_weights(model).values())
    output = os.path.join(model.work, "quantized")
    shutil.rmtree(output, ignore_errors=True)
    folder, stored, seconds, shared = output, 2 * count, 0, 0
    if row.options:
        stored, seconds, shared = quantize_ours(arguments, row, model, output)
    elif row.run:
        stored, seconds, shared = quantize_other(row, model, output)
    else:
        folder = model.folder
    report = os.path.join(model.work, "eval.json")
    run_tool(arguments, "sq-eval", folder, "--dataset", arguments.dataset, "--data-dir", arguments.data_dir,
             "--windows", arguments.windows, "--json", report)
    shutil.rmtree(output, ignore_errors=True)
    return {"title": row.title, "family": row.family, "bits_per_weight": 8 * stored / count,
            "bytes": stored, "perplexity": read_json(report)["results"][0]["perplexity"],
            "cpu_seconds": seconds, "shared_cpu_seconds": shared}


def load_model(arguments, order):
    work = os.path.join(arguments.work, order)
    os.makedirs(work, exist_ok=True)
    config = shuffle_channels.read_config(arguments.model)
    weights, folder = shuffle_channels.read_weights(arguments.model), arguments.model
    if order == "shuffled":
        weights, folder = shuffle_channels.shuffled(weights, config, 0), os.path.join(work, "model")
        if not os.path.isdir(folder):
            shuffle_channels.write_model(weights, arguments.model, folder)
    return methods.Model(folder, config, weights, read_json(arguments.tokens), work)


def measure_all(arguments):
    """{order: {title: result}}; prints a line for each row that cannot be measured."""
    results = {}
    for order in ("shuffled", "file"):
        results[order] = {}
        model = None
        for row in rows():
            if order == "file" and not row.grouped:
                continue  # the same figure again
            if arguments.only not in row.title:
                continue
            path = os.path.join(arguments.work, order, row.title.replace(" ", "_") + ".json")
            if not os.path.exists(path):
                model = model or load_model(arguments, order)
                print(f"== {row.title} ({order})", file=sys.stderr, flush=True)
                try:
                    write_json(path, measure(arguments, row, model))
                except ImportError as error:
                    print(f"left out: {row.title}: {error}", flush=True)
                    continue
            results[order][row.title] = read_json(path)
    return results


def print_table(results):
    """By perplexity, so that each row is beaten by those above it."""
    table = [("", "bits per weight", "linear layers", "perplexity", "in the file's order",
              "CPU seconds to quantize")]
    for row in sorted(results["shuffled"].values(), key=lambda row: row["perplexity"]):
        again = results["file"].get(row["title"])
        seconds = f"{row['cpu_seconds']:.0f}" if row["family"] != "FP16" else ""
        if row["shared_cpu_seconds"]:
            seconds += f" + {row['shared_cpu_seconds']:.0f}"
        title = row["title"] if row["title"].startswith(row["family"]) else f"{row['family']} {row['title']}"
        table.append((title, f"{row['bits_per_weight']:.2f}", f"{row['bytes'] / 1e6:.1f} MB",
                      f"{row['perplexity']:.2f}", f"{again['perplexity']:.2f}" if again else "", seconds))
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))


def digest(*paths):
    result = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                result.update(block)
    return result.hexdigest()


def check_settings(arguments):
    """Rows measured on another model or text are no rows of this table."""
    settings = {"model": digest(*sorted(glob.glob(os.path.join(arguments.model, "*.safetensors")))),
                "tokens": digest(arguments.tokens), "windows": arguments.windows,
                "dataset": digest(arguments.dataset) if os.path.exists(arguments.dataset) else arguments.dataset}
    path = os.path.join(arguments.work, "settings.json")
    if arguments.again:
        for order in ("shuffled", "file"):
            shutil.rmtree(os.path.join(arguments.work, order), ignore_errors=True)
    elif os.path.exists(path) and read_json(path) != settings:
        raise ValueError(f"{arguments.work} holds rows of another model, text or calibration; --again "
                         "measures anew")
    write_json(path, settings)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="HF folder in fp16, LLaMA architecture")
    parser.add_argument("--dataset", default="wikitext2",
                        help="what to measure perplexity on, as sq-eval takes it (default: wikitext2)")
    parser.add_argument("--data-dir", default=os.environ.get("SQ_DATA_DIR", ""), help="where it lies")
    parser.add_argument("--windows", type=int, default=8, help="of 2048 tokens (default: 8)")
    parser.add_argument("--calibration", required=True, help=".txt, .jsonl or a folder of .jsonl")
    parser.add_argument("--samples", type=int, default=23, help="(default: 23)")
    parser.add_argument("--sequence-length", type=int, default=512, help="of a sample (default: 512)")
    parser.add_argument("--bin", default="build/bin", help="where our tools lie (default: build/bin)")
    parser.add_argument("--work", default="build/baselines", help="(default: build/baselines)")
    parser.add_argument("--json", help="results to write")
    parser.add_argument("--plot", help="SVG file to write")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only rows with this in their title")
    parser.add_argument("--again", action="store_true", help="measure rows again")
    arguments = parser.parse_args()
    try:
        os.makedirs(arguments.work, exist_ok=True)
        arguments.tokens = os.path.join(arguments.work, "tokens.json")
        calibration_tokens(arguments, arguments.tokens)
        check_settings(arguments)
        results = measure_all(arguments)
        print_table(results)
        if arguments.json:
            write_json(arguments.json, results)
        if arguments.plot:
            baselines_plot.draw(results["shuffled"].values(), arguments.plot)
    except (OSError, ValueError, KeyError) as error:
        print(f"baselines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
