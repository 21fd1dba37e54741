#!/usr/bin/env python3
"""The method in Python, on its own: perplexity, Fisher diagonals and quantization, by transformers in
fp32, plain autograd and an exact k-means. It shares no code with the tools; their figures are compared
with the ones it prints. Long because it is the whole method, and reads best as one.

Data is looked up in --data-dir, else in $SQ_DATA_DIR.
"""

import argparse
import csv
import glob
import json
import math
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

try:
    import numpy as np
    import safetensors.torch
    import torch
    import transformers
except ImportError as error:
    sys.exit(f"reference: {error}; install numpy, torch, transformers and safetensors")
try:
    from numba import njit
except ImportError:
    njit = None

SENSITIVE_PERCENT = 0.05  # the paper's share of outliers that is chosen by Fisher; the rest by magnitude


# Perplexity

def read_text(path):
    # Python turns \r\n into \n. That matters: the published texts have \n, copies with \r\n are about,
    # and SmolLM2-135M's perplexity on such a WikiText-2, read as it stands, is 18.72 instead of 19.14.
    with open(path, encoding="utf-8") as file:
        return file.read()


def load_model(folder):
    if not os.path.isfile(os.path.join(folder, "config.json")):  # else it is looked for on the Hub
        raise ValueError(f"{folder}: no config.json there")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval().requires_grad_(False), transformers.AutoTokenizer.from_pretrained(folder)


def mean_loss(logits, tokens):
    """Mean cross-entropy in nats of tokens 1 .. n-1, summed in double. logits [n][vocab], tokens [n]."""
    total = 0.0
    # In pieces: a window of 2048 logits in double would take 0.8 GB at a vocabulary of 49152.
    for scores, targets in zip(logits[:-1].split(256), tokens[1:].split(256)):
        total += torch.nn.functional.cross_entropy(scores.double(), targets, reduction="sum").item()
    return total / (len(tokens) - 1)


def perplexity(arguments):
    """Whole text tokenized once, non-overlapping windows, exp of the mean over windows."""
    started = time.time()
    model, tokenizer = load_model(arguments.model)
    length = arguments.sequence_length
    path = arguments.dataset or data_path(arguments, "wikitext-2", "test.txt")
    tokens = torch.tensor(tokenizer(read_text(path)).input_ids)
    windows = len(tokens) // length
    if arguments.windows is not None:
        windows = min(windows, arguments.windows)
    if windows == 0:
        raise ValueError(f"{path}: {len(tokens)} tokens, less than one window of {length}")
    losses = []
    for window in tokens[:windows * length].split(length):
        with torch.no_grad():
            losses.append(mean_loss(model(window[None], use_cache=False).logits[0], window))
    nll = sum(losses) / windows
    print(f"perplexity {math.exp(nll):.4f}  nll {nll:.6f}  windows {windows} of {length}  "
          f"seconds {time.time() - started:.1f}")


# Fisher

def calibration_samples(path, tokenizer, samples, length):
    """The documents of PATH in order of file name, each tokenized by itself, joined, cut into samples."""
    files = sorted(glob.glob(os.path.join(path, "*.jsonl"))) if os.path.isdir(path) else [path]
    tokens = []
    for file in files:
        for line in read_text(file).split("\n"):
            if line.strip():
                tokens += tokenizer(json.loads(line)["text"]).input_ids
    if len(tokens) < samples * length:
        raise ValueError(f"{path}: {len(tokens)} tokens, too few for {samples} samples of {length}")
    return torch.tensor(tokens[:samples * length]).view(samples, length)


def fisher(arguments):
    """Sum over samples of the squared gradient of the sample's mean loss, for every quantized layer."""
    model, tokenizer = load_model(arguments.model)
    path = arguments.calibration or data_path(arguments, "c4")
    samples = calibration_samples(path, tokenizer, arguments.samples, arguments.sequence_length)
    weights = {f"{name}.weight": module.weight.requires_grad_()
               for name, module in model.named_modules()
               if isinstance(module, torch.nn.Linear) and name != "lm_head"}
    sums = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    started, losses = time.time(), []
    for sample in samples:
        logits = model(sample[None], use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], sample[1:])
        loss.backward()
        losses.append(loss.item())
        for name, weight in weights.items():
            sums[name] += weight.grad.double().square_()
            weight.grad = None
    seconds = time.time() - started
    safetensors.torch.save_file({name: value.float() for name, value in sums.items()},
                                arguments.output, metadata={"format": "pt"})
    print(f"samples {len(samples)} of {samples.shape[1]}  mean loss {sum(losses) / len(losses):.6f}  "
          f"sum of Fisher {sum(float(value.sum()) for value in sums.values()):.6e}  "
          f"seconds {seconds:.1f}")


# MMLU

def read_questions(folder, split, subject):
    path = os.path.join(folder, split, f"{subject}_{split}.csv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != 6 or row[5] not in list("ABCD"):
            raise ValueError(f"{path}: row {number} is no question with four choices and an answer")
    return rows


def mmlu_prompt(subject, examples, question):
    """As the original's evaluate.py: the subject's words come with a space before each, so two are
    before the first."""
    def block(row, answer):
        choices = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCD", row[1:5]))
        return f"{row[0]}{choices}\nAnswer:" + (f" {row[5]}\n\n" if answer else "")
    words = "".join(" " + word for word in subject.split("_"))
    head = f"The following are multiple choice questions (with answers) about {words}.\n\n"
    return head + "".join(block(row, True) for row in examples) + block(question, False)


def mmlu(arguments):
    """One full prompt a question, the largest logit among those of " A" to " D" after it."""
    started = time.time()
    model, tokenizer = load_model(arguments.model)
    context = model.config.max_position_embeddings
    letters = [tokenizer(f"Answer: {letter}").input_ids[-1] for letter in "ABCD"]
    names = sorted(name[:-len("_test.csv")] for name in os.listdir(os.path.join(arguments.folder, "test"))
                   if name.endswith("_test.csv"))
    report = {"subjects": []}
    for subject in arguments.subjects.split(",") if arguments.subjects else names:
        examples = read_questions(arguments.folder, "dev", subject)[:arguments.shots]
        questions = read_questions(arguments.folder, "test", subject)[:arguments.questions]
        answers, logits = "", []
        for question in questions:
            shots = len(examples)
            while True:
                ids = tokenizer(mmlu_prompt(subject, examples[:shots], question)).input_ids
                if len(ids) <= context:
                    break
                shots -= 1
            with torch.no_grad():
                scores = model(torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1, letters]
            answers += "ABCD"[int(scores.argmax())]
            logits.append(scores.tolist())
        correct = sum(answer == row[5] for answer, row in zip(answers, questions))
        report["subjects"].append({"subject": subject, "questions": len(questions), "correct": correct,
                                   "answers": answers, "logits": logits})
        print(f"{subject}: {correct} of {len(questions)}", flush=True)
    total = sum(entry["questions"] for entry in report["subjects"])
    correct = sum(entry["correct"] for entry in report["subjects"])
    print(f"accuracy {correct / total:.4f}  {correct} of {total}  seconds {time.time() - started:.1f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file)
    if arguments.compare:
        theirs = {entry["subject"]: entry["answers"]
                  for entry in json.loads(read_text(arguments.compare))["mmlu"]["subjects"]}
        equal = sum(a == b for entry in report["subjects"]
                    for a, b in zip(entry["answers"], theirs[entry["subject"]]))
        print(f"the same answer as {arguments.compare}: {equal} of {total}")


# Quantization

def kmeans_row(values, weights, k):
    """The optimum of sum weights (values - centroid)^2 over k centroids. float64 in and out, values
    ascending, weights positive; returns at most k centroids, ascending.

    Layered dynamic program: best[j], the cost of the first j + 1 values in c clusters, is the least over
    i of the cost of the first i in c - 1 plus one cluster of i .. j. The best i never falls as j grows
    (Groenlund et al., arXiv 1701.07204), so every other j is searched between its neighbours' answers:
    O(n log n) a layer.
    """
    n = len(values)
    k = min(k, n)
    mean = (weights * values).sum() / weights.sum()  # taken off so that the sums below cancel less
    w, m, q = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for j in range(n):
        shifted = values[j] - mean
        w[j + 1] = w[j] + weights[j]
        m[j + 1] = m[j] + weights[j] * shifted
        q[j + 1] = q[j] + weights[j] * shifted * shifted
    first = np.zeros((k, n), np.int64)  # where the last cluster starts
    previous = np.empty(n)
    for j in range(n):
        previous[j] = q[j + 1] - m[j + 1] * m[j + 1] / w[j + 1]
    top = 1
    while top < n:
        top *= 2
    for c in range(1, k):
        best = np.full(n, np.inf)
        stride = top
        while stride >= 1:
            for j in range(stride - 1, n, 2 * stride):
                if j < c:
                    continue
                low = max(c, first[c, j - stride] if j >= stride else 0)
                high = min(j, first[c, j + stride] if j + stride < n else j)
                for i in range(low, high + 1):
                    sum_m = m[j + 1] - m[i]
                    cost = previous[i - 1] + (q[j + 1] - q[i] - sum_m * sum_m / (w[j + 1] - w[i]))
                    if cost < best[j]:
                        best[j] = cost
                        first[c, j] = i
            stride //= 2
        previous = best
    centroids = np.empty(k)
    end = n
    for c in range(k - 1, -1, -1):
        start = first[c, end - 1]
        centroids[c] = mean + (m[end] - m[start]) / (w[end] - w[start])
        end = start
    return centroids


def quantize_rows(weight, sensitivity, k):
    """Replaces each weight by the nearest of its row's k centroids, rounded to fp32 as the tables are.
    That holds for weights of no sensitivity too, which had no say in the clusters."""
    result = np.empty_like(weight)
    for row in range(weight.shape[0]):
        values, weights = weight[row], sensitivity[row]
        if weights.sum() == 0:
            weights = np.ones_like(weights)
        order = np.argsort(values)
        order = order[weights[order] > 0]
        centroids = kmeans_row(values[order], weights[order], k)
        centroids = centroids.astype(np.float32).astype(np.float64)
        edges = (centroids[1:] + centroids[:-1]) / 2
        result[row] = centroids[np.searchsorted(edges, values)]
    return result


if njit:
    kmeans_row = njit(nogil=True)(kmeans_row)
    quantize_rows = njit(nogil=True)(quantize_rows)


def largest(scores, count):
    """Flat indices of the `count` largest, equal ones by lowest index."""
    return np.argsort(-scores.ravel(), kind="stable")[:count]


def choose_outliers(weight, sensitivity, percent):
    """Mask of the sparse part: the most sensitive weights, then the largest of the others. Each share
    is rounded down by itself, after 1e-9 that makes up for decimals like 0.45 - 0.05."""
    mask = np.zeros(weight.size, bool)
    sensitive = min(percent, SENSITIVE_PERCENT)
    for scores, share in ((sensitivity, sensitive), (np.abs(weight), percent - sensitive)):
        count = int(weight.size * share / 100 + 1e-9)
        mask[largest(np.where(mask, -1, scores.ravel()), count)] = True
    return mask.reshape(weight.shape)


def quantize_layer(weight, sensitivity, bits, sparsity_percent):
    """Returns the layer dequantized (outliers kept), its sum of Fisher (q - w)^2, and the outliers."""
    weight, sensitivity = weight.double().numpy(), sensitivity.double().numpy()
    mask = choose_outliers(weight, sensitivity, sparsity_percent)
    dense = np.where(mask, 0, weight)
    quantized = quantize_rows(dense, np.where(dense == 0, 0, sensitivity), 2 ** bits)
    quantized[mask] = weight[mask]
    distortion = float((sensitivity * (quantized - weight) ** 2).sum())
    return torch.from_numpy(quantized).float(), distortion, int(mask.sum())


def load_file(path):
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error


def load_tensors(folder):
    files = sorted(glob.glob(os.path.join(folder, "model*.safetensors")))
    if not files:
        raise ValueError(f"{folder}: no model*.safetensors")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def write_folder(source, output, tensors):
    """SOURCE with other weights, all in fp32."""
    os.makedirs(output, exist_ok=True)
    for pattern in ("*.json", "*.model", "merges.txt"):  # config and tokenizer of any kind
        for file in glob.glob(os.path.join(source, pattern)):
            if not file.endswith(".index.json"):
                shutil.copy(file, output)
    path = os.path.join(output, "config.json")
    config = json.loads(read_text(path))
    config.pop("dtype", None)
    config["torch_dtype"] = "float32"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    safetensors.torch.save_file({name: value.float() for name, value in tensors.items()},
                                os.path.join(output, "model.safetensors"), metadata={"format": "pt"})


def quantize(arguments):
    if njit is None:
        print("reference: without numba the k-means takes some 100 times longer", file=sys.stderr)
    tensors = load_tensors(arguments.model)
    sensitivities = load_file(arguments.fisher)
    for name, value in sensitivities.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise ValueError(f"{arguments.fisher}: {name} is not in {arguments.model} in that shape")

    started = time.time()
    quantize_rows(np.ones((1, 4)), np.ones((1, 4)), 2)  # numba compiles on the first call
    compiled = time.time()

    def one(name):
        return quantize_layer(tensors[name], sensitivities[name], arguments.bits,
                              arguments.sparsity_percent)

    layers = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (weight, distortion, outliers) in zip(sensitivities, pool.map(one, sensitivities)):
            tensors[name] = weight
            layers[name] = {"distortion": distortion, "outliers": outliers}
    seconds = time.time() - compiled
    write_folder(arguments.model, arguments.output, tensors)
    total = sum(layer["distortion"] for layer in layers.values())
    print(f"bits {arguments.bits}  sparsity {arguments.sparsity_percent} %  "
          f"outliers {sum(layer['outliers'] for layer in layers.values())}  "
          f"sum of Fisher (q - w)^2 {total:.6f}  "
          f"seconds {seconds:.1f} and {compiled - started:.1f} to compile")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"distortion": total, "layers": layers}, file, indent=2)


# Command line

def data_path(arguments, *parts):
    root = arguments.data_dir or os.environ.get("SQ_DATA_DIR")
    path = os.path.join(root or "", *parts)
    if not root:
        raise ValueError(f"{path}: give --data-dir or set SQ_DATA_DIR")
    if not os.path.exists(path):
        raise ValueError(f"{path} does not exist; give --data-dir or set SQ_DATA_DIR")
    return path


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def percent(text):
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError
    return value


def parse_arguments():
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("model", metavar="MODEL", help="Hugging Face folder")
    shared.add_argument("--threads", type=positive, help="of torch (default: torch's own choice)")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data-dir", metavar="DIR", help="folder that holds wikitext-2/ and c4/")

    command = commands.add_parser("perplexity", parents=[shared, data], help="perplexity of a text")
    command.set_defaults(run=perplexity)
    command.add_argument("--dataset", metavar="PATH", help="text file (default: wikitext-2/test.txt)")
    command.add_argument("--windows", type=positive, metavar="N", help="only the first N (default: all)")
    command.add_argument("--sequence-length", type=positive, default=2048, metavar="N",
                         help="tokens a window (default: %(default)s)")

    command = commands.add_parser("fisher", parents=[shared, data], help="squared gradients")
    command.set_defaults(run=fisher)
    command.add_argument("--calibration", metavar="PATH", help=".jsonl file or folder (default: c4/)")
    command.add_argument("--samples", type=positive, default=100, metavar="N",
                         help="(default: %(default)s)")
    command.add_argument("--sequence-length", type=positive, default=512, metavar="N",
                         help="tokens a sample (default: %(default)s)")
    command.add_argument("--output", required=True, metavar="FILE", help=".safetensors file to write")

    command = commands.add_parser("mmlu", parents=[shared], help="multiple-choice questions")
    command.set_defaults(run=mmlu)
    command.add_argument("folder", metavar="DIR", help="of the original release: dev/ and test/")
    command.add_argument("--shots", type=int, default=5, metavar="N", help="(default: %(default)s)")
    command.add_argument("--subjects", metavar="A,B", help="(default: all in the folder)")
    command.add_argument("--questions", type=positive, metavar="N",
                         help="only the first N of each subject (default: all)")
    command.add_argument("--json", metavar="FILE", help="answers and logits of each question")
    command.add_argument("--compare", metavar="FILE", help="count equal answers in this report of sq-eval")

    command = commands.add_parser("quantize", parents=[shared], help="writes the dequantized model")
    command.set_defaults(run=quantize)
    command.add_argument("--fisher", required=True, metavar="FILE", help="what `fisher` wrote")
    command.add_argument("--bits", type=int, choices=(2, 3, 4), required=True)
    command.add_argument("--sparsity-percent", type=percent, default=0.0, metavar="P",
                         help="share of each layer in the sparse part (default: %(default)s)")
    command.add_argument("--output", required=True, metavar="DIR", help="folder to write, in fp32")
    command.add_argument("--json", metavar="FILE", help="distortion and outliers of each layer")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        arguments.run(arguments)
    except (OSError, ValueError, KeyError) as error:
        print(f"reference: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
