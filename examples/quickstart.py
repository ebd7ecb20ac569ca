"""Hash real images, search them, and see what the codes are worth.

Scikit-learn's handwritten digits: 1,497 images are the database, 300 are queries. A
retrieved image is right if it shows the query's digit. The script prints the mean
average precision of exact cosine search on the pixels, of LSH, and of OrthoHash, which
learns from the labels of the database, and writes a picture of what OrthoHash finds.
"""

import sys
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, OrthoHash
from sklhash.metrics import (
    make_retrieval_scorer,
    map_scorer,
    mean_average_precision_score,
)

map_at_100_scorer = make_retrieval_scorer(mean_average_precision_score, k=100)


def main(picture="quickstart.png"):
    images, labels = load_digits(return_X_y=True)
    X, X_query, y, y_query = train_test_split(
        images.astype(np.float32), labels, test_size=300, random_state=0
    )
    warm_up = make_pipeline(OrthoHash(max_epochs=1), HammingNeighbors()).fit(X, y)
    warm_up.score(X_query, y_query)  # imports and compiles, so that no row pays for it

    print("method     bits  bytes an item    mAP  mAP@100  seconds to fit and score")
    print_row("cosine", 32 * X.shape[1], *score_cosine(X, X_query, y, y_query))
    for hasher in (LSH(random_state=0), OrthoHash(random_state=0)):
        for n_bits in (16, 32, 64):
            start = time.perf_counter()
            search = make_pipeline(hasher.set_params(n_bits=n_bits), HammingNeighbors())
            search.fit(X, y)
            scores = [
                scorer(search, X_query, y_query)
                for scorer in (map_scorer, map_at_100_scorer)
            ]
            seconds = time.perf_counter() - start
            print_row(type(hasher).__name__, n_bits, *scores, seconds)

    codes = search[:-1].transform(X_query)
    distances, indices = search[-1].kneighbors(codes, n_neighbors=10)
    n_wrong = (y[indices] != y_query[:, None]).sum(axis=1)
    one_each = [np.argmax(y_query == digit) for digit in (0, 1, 2)]
    worst = np.argsort(-n_wrong, kind="stable")[:3]
    shown = [*one_each, *worst]
    plot_retrieved(
        X, X_query[shown], y, y_query[shown], distances[shown], indices[shown]
    )
    plt.savefig(picture, dpi=120)
    print(f"\nSix queries and their ten nearest images are drawn in {picture}")


def score_cosine(X, X_query, y, y_query):
    """Return mAP and mAP@100 of exact cosine search on the pixels, and the time."""
    start = time.perf_counter()
    scores = []
    for similarity, label in zip(cosine_similarity(X_query, X), y_query, strict=True):
        top = np.argsort(-similarity)[:100]
        scores.append(
            (
                average_precision_score(y == label, similarity),
                average_precision_score(y[top] == label, similarity[top]),
            )
        )
    return *np.mean(scores, axis=0), time.perf_counter() - start


def print_row(method, n_bits, score, score_at_100, seconds):
    print(
        f"{method:<9}  {n_bits:>4}  {n_bits // 8:>13}  {score:.3f}    "
        f"{score_at_100:.3f}  {seconds:>24.2f}"
    )


def plot_retrieved(X, X_query, y, y_query, distances, indices):
    """Draw queries and their neighbours with distances, wrong ones crossed out."""
    n_queries, n_neighbors = indices.shape
    figure, axes = plt.subplots(
        n_queries, n_neighbors + 1, figsize=(9, 6.4), layout="constrained"
    )
    figure.suptitle(
        "Three queries, then the three worst, and their ten nearest by OrthoHash\n"
        "(64 bits; below each its Hamming distance; wrong digits are crossed out)"
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_title("query", fontsize=10)
    for rank in range(n_neighbors):
        axes[0, rank + 1].set_title(rank + 1, fontsize=10)
    for row, neighbors in enumerate(indices):
        axes[row, 0].imshow(X_query[row].reshape(8, 8), cmap="gray_r")
        axes[row, 0].set_xlabel(f"a {y_query[row]}", fontsize=9)
        for ax, distance, i in zip(
            axes[row, 1:], distances[row], neighbors, strict=True
        ):
            ax.imshow(X[i].reshape(8, 8), cmap="gray_r")
            ax.set_xlabel(distance, fontsize=9)
            if y[i] != y_query[row]:
                ax.plot([0, 7], [0, 7], [0, 7], [7, 0], color="tab:red", linewidth=1.5)
            for spine in ax.spines.values():
                spine.set_color("0.8" if y[i] == y_query[row] else "tab:red")


if __name__ == "__main__":
    main(*sys.argv[1:])
