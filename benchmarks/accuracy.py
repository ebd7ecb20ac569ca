"""Score the hashers on CIFAR-10 features, protocol I, with default parameters.

1,000 queries, 5,000 training rows, a database of all 59,000 rows but the queries; mAP
over the whole ranking, ties expected. DIR holds
cifar10_efficientnet_lite2/cifar10_efficientnet_lite2_pca512.npz.

    python benchmarks/accuracy.py --data DIR [--bits 16 32 64] [--seeds 3]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from sklhash import LSH, OrthoHash, mean_average_precision_score

FILE = "cifar10_efficientnet_lite2/cifar10_efficientnet_lite2_pca512.npz"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    data = load(arguments.data)
    print(f"{torch.get_num_threads()} torch thread(s), mean of {arguments.seeds} seeds")
    print("| method | bits | mAP | sd | seconds to fit |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for cls in (LSH, OrthoHash):
        for n_bits in arguments.bits:
            runs = [
                fit_and_score(cls(n_bits, random_state=seed), *data)
                for seed in range(arguments.seeds)
            ]
            scores, seconds = np.transpose(runs)
            print(
                f"| {cls.__name__} | {n_bits} | {scores.mean():.4f} | "
                f"{scores.std():.4f} | {np.median(seconds):.1f} |",
                flush=True,
            )


def load(folder):
    """Return training, database and query features and labels."""
    with np.load(folder / FILE) as file:
        X, y = file["X"].astype(np.float32), file["y"]
        parts = [file[f"I_{part}"] for part in ("train", "database", "query")]
    return [(X[rows], y[rows]) for rows in parts]


def fit_and_score(hasher, train, database, query):
    """Return the mAP of the queries and the seconds of the fit."""
    start = time.perf_counter()
    hasher.fit(*train)
    seconds = time.perf_counter() - start
    score = mean_average_precision_score(
        hasher.transform(query[0]), hasher.transform(database[0]), query[1], database[1]
    )
    return score, seconds


if __name__ == "__main__":
    main()
