"""
=============================================
Where LSH, PCAH, ITQ and spectral hashing cut
=============================================

Each bit of a code cuts the space in two, and all bits together cut it into cells. What
lies in one cell has one code, and the Hamming distance of two items counts the bits by
which their cells differ. The four methods of this page learn from features alone. They
differ in where they cut, which can be seen in the plane.
"""

# %%
# Cells in the plane
# ------------------
#
# Six hundred points in three groups have two features each. The star is a query: the
# darker a cell, the fewer of its bits differ from the star's.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklhash import ITQ, LSH, PCAH, HammingNeighbors, SpectralHashing, hamming_distances

points, _ = make_blobs(
    600, centers=[[-4, -1.5], [0, 0], [4, 1.5]], cluster_std=0.9, random_state=0
)
query = np.array([[3.6, 1.9]])
extent = (-7, 7, -4.4, 4.4)
x, y = np.meshgrid(np.linspace(*extent[:2], 561), np.linspace(*extent[2:], 353))
plane = np.column_stack([x.ravel(), y.ravel()])
blues = ListedColormap(plt.get_cmap("Blues")([0.65, 0.48, 0.32, 0.17, 0.0]))


def draw_cells(ax, hasher):
    hasher.fit(points)
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
        ax.contour(x, y, values.reshape(x.shape), [0], colors="black", linewidths=1.5)
    ax.scatter(*points.T, s=5, color="black", linewidths=0)
    ax.scatter(*query.T, s=350, marker="*", color="#e69f00", edgecolors="black")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{type(hasher).__name__}, {hasher.n_bits} bits", fontsize=14)
    return cells


figure, axes = plt.subplots(2, 2, figsize=(9, 5.7), layout="constrained")
hashers = [LSH(4, random_state=0), PCAH(2), ITQ(2, random_state=0), SpectralHashing(4)]
for ax, hasher in zip(axes.flat, hashers, strict=True):
    cells = draw_cells(ax, hasher)
bar = figure.colorbar(cells, ax=axes, ticks=range(5))
bar.set_label("bits that differ from the star's", fontsize=12)

# %%
# :class:`~sklhash.LSH` draws directions at random. All its cuts pass through the mean
# of the points, wherever the groups are.
#
# :class:`~sklhash.PCAH` cuts across the directions in which the points vary most. There
# are but two of them in the plane, and so two bits. The second goes lengthwise through
# all three groups: it has little variance, counts as much as the first, and puts half
# of the star's own group one bit away.
#
# :class:`~sklhash.ITQ` has the same directions, and turns them until the points are, in
# the mean, as far as they can be from the cuts. The outer groups are now in a cell
# each, two bits apart. The one in the middle is cut in four: no cut of this method
# avoids the mean.
#
# :class:`~sklhash.SpectralHashing` cuts the longest direction again and again, at equal
# intervals, as a wave would. A bit is the same on every other stripe, so that cells far
# apart may share a code: follow the darkest blue.
#
# Many features
# -------------
#
# Handwritten digits have 64 features. The mean average precision of 300 queries says
# how well the methods do there: an image is relevant to a query if it shows the same
# digit.

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)

print("method             16 bits  32 bits  48 bits")
for hasher in hashers:
    scores = [
        make_pipeline(hasher.set_params(n_bits=n_bits), HammingNeighbors())
        .fit(X, y)
        .score(X_query, y_query)
        for n_bits in (16, 32, 48)
    ]
    print(f"{type(hasher).__name__:<17}", *(f"{score:8.3f}" for score in scores))

# %%
# More bits help LSH, whose directions are as good as each other, and ITQ, which spreads
# what there is over all bits. PCAH and SpectralHashing get worse: each further bit is
# for a direction, or a wave, that says less, and counts as much.

plt.show()
