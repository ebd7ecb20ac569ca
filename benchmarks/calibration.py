"""Run the methods on two toy problems, and print what they reach beside a reference.

The references are the mAP of one run each on problems drawn alike: they tell a broken
method from a sound one, not a good one from a better one, since another draw of the
problem moves a mAP by up to 0.1. Supervised methods: 10 classes in 64 dimensions with
unit noise and a nuisance subspace, a network 64-128-16, 1,200 steps of Adam, mAP over
the whole ranking. Unsupervised: classes further apart, a linear head, 3,000 steps,
mAP@1000.

    python benchmarks/calibration.py [--seeds 3] [--threads 1]
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklhash import (
    CNNH,
    DPSH,
    DSDH,
    LSH,
    NINH,
    NSH,
    BaseHasher,
    HashNet,
    OrthoHash,
    mean_average_precision_score,
)
from sklhash.training.augment import GaussianNoise

N_BITS = 16
N_FEATURES = 64
SUPERVISED = {
    "hidden_layer_sizes": (128,),
    "augment": None,
    "max_epochs": 75,
    "batch_size": 128,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "lr_schedule": None,
    "device": "cpu",
}
UNSUPERVISED = {
    "augment": GaussianNoise(0.8),
    "max_epochs": 75,
    "batch_size": 50,
    "lr": 1e-4,
    "lr_schedule": None,
    "sort_temperature": "auto",
    "quantization_weight": 1.0,
    "latent_size": 1024,
    "device": "cpu",
}
SMALL = {"max_epochs": 240}


@dataclass(frozen=True)
class Problem:
    """Classes around random centres, with noise of unit size and nuisance."""

    center_scale: float
    nuisance_scale: float
    k: int | None
    n_train: int = 2000
    n_database: int = 1700
    n_query: int = 300

    def draw(self, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return features and classes to train on, of the database, of the queries."""
        rng = np.random.default_rng(seed)
        centers = rng.normal(0, self.center_scale, (10, N_FEATURES))
        loadings = rng.normal(0, self.nuisance_scale, (8, N_FEATURES))
        parts = []
        for n_rows in (self.n_train, self.n_database, self.n_query):
            y = rng.integers(10, size=n_rows)
            X = centers[y] + rng.standard_normal((n_rows, N_FEATURES))
            X += rng.standard_normal((n_rows, 8)) @ loadings
            parts.append((X.astype(np.float32), y))
        return parts


TOY = Problem(0.5, 0.9, None)
SMALL_TOY = Problem(0.5, 0.9, None, n_train=600)
CLUSTERS = Problem(1.2, 0.15, 1000)

RUNS: list[tuple[Problem, type[BaseHasher], dict[str, Any], str]] = [
    (TOY, LSH, {}, ""),
    (TOY, HashNet, {}, ".920"),
    (TOY, HashNet, {"class_weight": None}, ".915"),
    (TOY, HashNet, {"alpha": 1.0}, ".914"),
    (TOY, HashNet, {"alpha": 0.1}, ".819"),
    (TOY, OrthoHash, {"scale": 4.0}, ".867"),
    (TOY, OrthoHash, {"scale": 4.0, "margin": 0.0}, ".840"),
    (TOY, OrthoHash, {"scale": 8.0}, ".749"),
    (TOY, DPSH, {"eta": 0.0}, ".689"),
    (TOY, DPSH, {"eta": 10.0}, ".808"),
    (TOY, DSDH, {"eta": 22.0, "discrete_scope": "batch"}, ".834"),
    (TOY, DSDH, {"eta": 22.0}, ".870"),
    (TOY, DSDH, {"eta": 55.0, "discrete_scope": "batch"}, ".82-.85"),
    (TOY, DSDH, {"eta": 55.0}, ".82-.85"),
    (TOY, NINH, {"margin": 1.0}, ".798"),
    (TOY, NINH, {"margin": 2.0}, ".823"),
    (TOY, NINH, {"margin": 4.0}, ".840"),
    (SMALL_TOY, CNNH, {"output_loss": "squared", **SMALL}, ".740"),
    (SMALL_TOY, CNNH, {"output_loss": "bce", **SMALL}, ".797"),
    (CLUSTERS, LSH, {}, ".46"),
    (CLUSTERS, NSH, {"temperature": 0.3}, ".965-.985"),
    (CLUSTERS, NSH, {"temperature": 0.1}, ".94-.98"),
    (CLUSTERS, NSH, {"temperature": 0.3, "sort": "soft"}, ".92-.96"),
    (CLUSTERS, NSH, {"n_positives": 5}, ".966-.985"),
    (CLUSTERS, NSH, {"double_softmax": True}, ".955-.984"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| method | parameters | mAP | of the seeds | reference |")
    print("| --- | --- | ---: | --- | --- |")
    for problem, cls, parameters, reference in RUNS:
        scores = [
            fit_and_score(problem, cls, parameters, seed)
            for seed in range(arguments.seeds)
        ]
        shown = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        each = " ".join(f"{score:.3f}" for score in scores)
        print(
            f"| {cls.__name__} | {shown} | {np.mean(scores):.3f} | {each} "
            f"| {reference} |",
            flush=True,
        )


def fit_and_score(
    problem: Problem, cls: type[BaseHasher], parameters: dict[str, Any], seed: int
) -> float:
    (X, y), (X_database, y_database), (X_query, y_query) = problem.draw(seed)
    recipe = {LSH: {}, NSH: UNSUPERVISED}.get(cls, SUPERVISED)
    hasher = cls(N_BITS, random_state=seed, **{**recipe, **parameters}).fit(X, y)
    return mean_average_precision_score(
        hasher.transform(X_query),
        hasher.transform(X_database),
        y_query,
        y_database,
        k=problem.k,
    )


if __name__ == "__main__":
    main()
