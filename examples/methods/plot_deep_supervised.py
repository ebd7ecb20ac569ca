"""
================================================
Deep codes from classes: four ways to learn them
================================================

:class:`~sklhash.OrthoHash`, :class:`~sklhash.HashNet`, :class:`~sklhash.DSDH` and
:class:`~sklhash.DPSH` train the same kind of network on the same labels. They differ in
what they ask of it. This example shows the codes that each gives to handwritten digits,
and what a search finds by them.
"""

# %%
# Few labels
# ----------
#
# 300 images are queries and the other 1,497 the database, but only 500 of those have
# labels to learn from. With labels for all of them the four are nearly alike.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import DPSH, DSDH, HashNet, OrthoHash
from sklhash.metrics import DistanceHistogramDisplay, mean_average_precision_score

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(
    X, y, test_size=300, stratify=y, random_state=0
)
X_train, _, y_train, _ = train_test_split(
    X, y, train_size=500, stratify=y, random_state=0
)

hashers = {
    (method.__name__, n_bits): method(n_bits, random_state=0).fit(X_train, y_train)
    for method in (OrthoHash, HashNet, DSDH, DPSH)
    for n_bits in (16, 32)
}

for (name, n_bits), hasher in hashers.items():
    codes = hasher.transform(X_query), hasher.transform(X)
    score = mean_average_precision_score(*codes, y_query, y)
    seconds = sum(epoch["seconds"] for epoch in hasher.history_)
    print(f"{name:<10} {n_bits} bits: mAP {score:.3f}, {seconds:.1f} seconds to fit")

# %%
# The code of each digit
# ----------------------
#
# A row of a panel is a digit, a column is one of 16 bits. Black is a bit that all
# queries of the digit have, white is one that none has, and grey is where they differ.

short = [hasher for (_, n_bits), hasher in hashers.items() if n_bits == 16]
figure, axes = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
for ax, hasher in zip(axes.flat, short, strict=True):
    query_codes = hasher.transform(X_query)
    shares = [query_codes[y_query == digit].mean(axis=0) for digit in range(10)]
    image = ax.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    ax.set_title(type(hasher).__name__, fontsize=14)
    ax.set(xticks=[], yticks=range(10))
    ax.hlines(np.arange(9) + 0.5, -0.5, 15.5, color="#0072b2", linewidth=1)
for ax in axes[:, 0]:
    ax.set_ylabel("digit", fontsize=12)
for ax in axes[1]:
    ax.set_xlabel("16 bits", fontsize=12)
bar = figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], format="{x:.0%}")
bar.set_label("queries of the digit whose bit is one", fontsize=12)

# %%
# All give each digit a code that most of its images share, and grey bits are where the
# mistakes come from: 1, 8 and 9 are the hard digits for every method. OrthoHash has the
# fewest of them here.
#
# What each learns
# ----------------
#
# OrthoHash draws a codeword for each class before the training, and the network learns
# to hit it: the columns of its panel are drawn by chance. The others have no codes to
# begin with, and find them as they learn that pairs of the same digit are to be near
# and others far:
#
# * HashNet compares the rows of a batch by :math:`\tanh(\beta u)`, and lets
#   :math:`\beta` grow, so that what is compared comes closer to the signs. What is
#   left is the quantization gap.
# * DPSH compares each batch with a memory of all rows, and draws outputs to their
#   signs.
# * DSDH does the same, and looks for codes from which a linear classifier can read the
#   labels. It keeps the classifier, so there is a `predict`.

long = {name: hasher for (name, n_bits), hasher in hashers.items() if n_bits == 32}
codewords = long["OrthoHash"].codebook_[y_query] > 0
hits = (long["OrthoHash"].transform(X_query) == codewords).mean()
print(f"OrthoHash: {hits:.0%} of the bits of queries are those of their codewords")
first, *_, last = (epoch["quantization_gap"] for epoch in long["HashNet"].history_)
print(f"HashNet: the gap fell from {first:.2f} to {last:.2f}")
accuracy = (long["DSDH"].predict(X_query) == y_query).mean()
print(f"DSDH: the classifier reads the right digit from {accuracy:.0%} of the codes")

# %%
# Near and far
# ------------
#
# The Hamming distances of pairs of the same digit and of others say what a search can
# do with 32 bits. All four put different digits about 17 bits apart, and differ in how
# far the images of one digit are from each other.
#
# Do not take this for a ranking of the methods: with another set, or more labels, the
# order is another. :doc:`The user guide </user_guide/hashers>` has the numbers of five
# sets, and :ref:`another example
# <sphx_glr_auto_examples_tuning_plot_choose_a_method.py>` lets cross-validation choose.

figure, axes = plt.subplots(
    2, 2, figsize=(9, 6.4), sharex=True, sharey=True, layout="constrained"
)
for ax, hasher in zip(axes.flat, long.values(), strict=True):
    DistanceHistogramDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), ax=ax
    )
    ax.label_outer()
plt.show()
