"""
==================================
Curved cuts from kernels: KSH, SDH
==================================

:class:`~sklhash.KSH` and :class:`~sklhash.SDH` learn from labels without a network. A
row is described by its similarity to some training rows, the anchors, and each bit is
linear in those similarities. Seen among the features, the bits cut along curves. This
example shows the curves in the plane, and what the number of anchors does.
"""

# %%
# Cells in the plane
# ------------------
#
# Three classes wind around each other, so that no straight line parts them, such as
# those that :ref:`methods without labels
# <sphx_glr_auto_examples_methods_plot_shallow_unsupervised.py>` draw. The star is a
# query: the darker a cell, the fewer of its bits differ from the star's.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklhash import ITQ, KSH, SDH, HammingNeighbors, hamming_distances

rng = np.random.default_rng(0)
radius = np.tile(np.linspace(0.3, 4.2, 200), 3)
classes = np.repeat(np.arange(3), 200)
angle = radius + 2 * np.pi / 3 * classes
points = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
points += rng.normal(scale=0.18, size=points.shape)
query = np.array([[-2.4, 1.2]])

extent = (-4.6, 4.6, -4.6, 4.6)
x, y = np.meshgrid(np.linspace(*extent[:2], 369), np.linspace(*extent[2:], 369))
plane = np.column_stack([x.ravel(), y.ravel()])
blues = ListedColormap(plt.get_cmap("Blues")([0.65, 0.48, 0.32, 0.17, 0.0]))

figure, axes = plt.subplots(1, 2, figsize=(9, 4.7), layout="constrained")
for ax, method in zip(axes, (KSH, SDH), strict=True):
    hasher = method(4, n_anchors=200, random_state=0).fit(points, classes)
    distances = hamming_distances(hasher.transform(plane), hasher.transform(query))
    cells = ax.imshow(
        distances.reshape(x.shape),
        cmap=blues,
        vmin=-0.5,
        vmax=4.5,
        extent=extent,
        origin="lower",
        interpolation="nearest",
    )
    for values in hasher.decision_function(plane).T:
        ax.contour(x, y, values.reshape(x.shape), [0], colors="black", linewidths=1)
    for label, marker, color in [
        (0, "o", "black"),
        (1, "^", "white"),
        (2, "s", "#d55e00"),
    ]:
        its_points = points[classes == label].T
        ax.scatter(*its_points, s=16, c=color, marker=marker, ec="black", lw=0.5)
    ax.scatter(*query.T, s=350, marker="*", color="#e69f00", edgecolors="black")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{method.__name__}, 4 bits", fontsize=14)
bar = figure.colorbar(cells, ax=axes, ticks=range(5))
bar.set_label("bits that differ from the star's", fontsize=12)

# %%
# The star's class has cells of its own, and so have the others. KSH finds one bit after
# the other, each to mend what those before have left wrong, and its four curves all
# differ. SDH first finds codes of the classes, from which a linear classifier can read
# the label, and then the curves that give them; with three classes and four bits, some
# of its curves lie on each other.
#
# How many anchors?
# -----------------
#
# To encode a row takes its distances to all anchors, so the fewer the better. Here are
# the mean average precisions of 300 handwritten digits among 1,497 others, for three
# draws of the anchors: the lines are their means, and the bands go from the lowest to
# the highest.

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)


def score(hasher):
    search = make_pipeline(hasher, HammingNeighbors()).fit(X, y)
    return search.score(X_query, y_query)


numbers = [10, 20, 50, 100, 200, 500]
figure, ax = plt.subplots(layout="constrained")
for method, color, marker in [(KSH, "#0072b2", "o"), (SDH, "#d55e00", "s")]:
    scores = [
        [score(method(32, n_anchors=n, random_state=seed)) for seed in range(3)]
        for n in numbers
    ]
    ax.semilogx(
        numbers,
        np.mean(scores, axis=1),
        color=color,
        marker=marker,
        label=method.__name__,
    )
    ax.fill_between(
        numbers,
        np.min(scores, axis=1),
        np.max(scores, axis=1),
        color=color,
        alpha=0.25,
        lw=0,
    )
ax.axhline(
    score(ITQ(32, random_state=0)), color="black", ls="--", label="ITQ, no labels"
)
ax.set(
    xlabel="anchors",
    ylabel="mAP, codes of 32 bits",
    xticks=numbers,
    xticklabels=numbers,
)
ax.minorticks_off()
ax.legend()

# %%
# Fifty anchors do for KSH most of what five hundred do, and two hundred for SDH, which
# needs about a tenth of the time to fit. With ten, SDH is worse than ITQ, which knows
# no labels. The default of both methods is a thousand, or all rows if there are fewer.

plt.show()
