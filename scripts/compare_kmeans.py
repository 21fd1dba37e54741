#!/usr/bin/env python3
"""Times three k-means on the same rows: ours (exact), flash1dkmeans and scikit-learn.

    pip install numpy scikit-learn flash1dkmeans
    cmake -S . -B build -DSQ_BENCH=ON && cmake --build build --target bench_kmeans_rows
    scripts/compare_kmeans.py build/bin/bench_kmeans_rows

All run on one thread in turn, round by round, so that what else the machine does hits all alike;
processor time, the least of the rounds. Rows: Student-t(8) weights rounded to fp16, lognormal
sensitivities (sigma 1 and 3 in turn). The gap is the mean of objective / ours - 1, each objective
computed here in double from the centroids.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np


def make_rows(rows, n, seed):
    """Weights and sensitivities, [rows][n] float32."""
    random = np.random.default_rng(seed)
    weights = (0.02 * random.standard_t(8, (rows, n))).astype(np.float16).astype(np.float32)
    sigma = np.where(np.arange(rows) % 2 == 0, 1.0, 3.0)[:, None]
    sensitivity = 1e-6 * np.exp(sigma * random.standard_normal((rows, n)))
    return weights, sensitivity.astype(np.float32)


def objective(weights, sensitivity, centroids):
    w = weights.astype(np.float64)
    nearest = np.min((w[:, None] - np.asarray(centroids, np.float64)[None, :]) ** 2, axis=1)
    return float(np.dot(sensitivity.astype(np.float64), nearest))


def run_ours(program, weights, sensitivity, k, folder):
    """Centroids [rows][k] and microseconds a row, as the program times itself."""
    source, result = folder / "rows", folder / "centroids"
    with open(source, "wb") as file:
        file.write(weights.tobytes())
        file.write(sensitivity.tobytes())
    rows, n = weights.shape
    line = subprocess.run(
        [program, str(rows), str(n), str(k), "5", source, result],
        check=True, capture_output=True, text=True).stdout
    return np.fromfile(result, np.float32).reshape(rows, k), float(line.split()[0])


def run_flash(weights, sensitivity, k):
    from flash1dkmeans import kmeans_1d
    centroids = []
    start = time.process_time()
    for w, s in zip(weights, sensitivity):
        centroids.append(kmeans_1d(w, k, sample_weights=s, max_iter=50, is_sorted=False)[0])
    return centroids, (time.process_time() - start) / len(weights) * 1e6


def run_sklearn(weights, sensitivity, k):
    """The original's settings (SqueezeLLM, nuq.py)."""
    from sklearn.cluster import KMeans
    centroids = []
    start = time.process_time()
    for w, s in zip(weights, sensitivity):
        found = KMeans(n_clusters=k, random_state=0, n_init=1, max_iter=50).fit(
            w.reshape(-1, 1), sample_weight=s)
        centroids.append(found.cluster_centers_.reshape(-1))
    return centroids, (time.process_time() - start) / len(weights) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="path of bench_kmeans_rows")
    parser.add_argument("--rows", type=int, default=32, help="rows of each length")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="+", default=[576, 1536, 4096, 11008])
    parser.add_argument("--clusters", type=int, nargs="+", default=[8, 16])
    args = parser.parse_args()
    warnings.filterwarnings("ignore")

    print("| n | k | ours, us a row | flash1dkmeans | its time / ours | its gap "
          "| scikit-learn | its time / ours | its gap |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for n in args.lengths:
            for k in args.clusters:
                weights, sensitivity = make_rows(args.rows, n, seed=n + k)
                runs = {
                    "ours": lambda: run_ours(args.program, weights, sensitivity, k, Path(name)),
                    "flash": lambda: run_flash(weights, sensitivity, k),
                    "sklearn": lambda: run_sklearn(weights, sensitivity, k),
                }
                run_flash(weights[:1], sensitivity[:1], k)  # compiles
                least, found = {}, {}
                for _ in range(args.rounds):
                    for method, run in runs.items():
                        found[method], spent = run()
                        least[method] = min(spent, least.get(method, spent))
                value = {method: np.array([objective(w, s, c) for w, s, c in
                                           zip(weights, sensitivity, centroids)])
                         for method, centroids in found.items()}
                cells = [f"{n}", f"{k}", f"{least['ours']:.1f}"]
                for method in ("flash", "sklearn"):
                    gap = np.mean(value[method] / value["ours"] - 1)
                    cells += [f"{least[method]:.0f}", f"{least[method] / least['ours']:.1f}",
                              f"{100 * gap:+.1f} %"]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
