"""
===================================
Triplets, lists of rows, two stages
===================================

Deep methods may learn from more than classes and pairs. :class:`~sklhash.NINH` learns
from triplets, one row that belongs to another and one that does not.
:class:`~sklhash.DSRH` learns from lists, in which some rows belong more than others.
:class:`~sklhash.CNNH` first makes codes from the labels alone, and then trains a
network to give them. What they make of the same rows shows best where these have
several labels.
"""

# %%
# Five properties of a digit
# --------------------------
#
# An image of a digit has up to four labels here, out of five: whether the digit is
# even, a multiple of three, below five, prime, and drawn with a closed loop. A 0 and a
# 6 share three of them, a 0 and a 7 none. Rows are relevant to each other if they share
# a label, and the more so the more they share.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import CNNH, DSRH, NINH, hamming_distances
from sklhash.metrics import (
    mean_average_precision_score,
    ndcg_at_k_score,
)

X, digits = load_digits(return_X_y=True)
X, X_query, digits, query_digits = train_test_split(
    X, digits, test_size=300, stratify=digits, random_state=0
)
labels_of = np.array(
    [
        [d % 2 == 0, d % 3 == 0, d < 5, d in (2, 3, 5, 7), d in (0, 6, 8, 9)]
        for d in range(10)
    ]
).astype(int)
Y, Y_query = labels_of[digits], labels_of[query_digits]

X_train, _, train_digits, _ = train_test_split(
    X, digits, train_size=700, stratify=digits, random_state=0
)
hashers = [
    method(16, random_state=0).fit(X_train, labels_of[train_digits])
    for method in (NINH, DSRH, CNNH)
]

# %%
# Who sees how much is shared?
# ----------------------------
#
# The markers are the mean distances between queries and the images that share so many
# labels with them, and the bars hold the middle half of the distances.

shared = Y_query @ Y.T
figure, ax = plt.subplots(figsize=(7, 4.9), layout="constrained")
styles = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^")]
for hasher, shift, (color, marker) in zip(hashers, (-0.1, 0, 0.1), styles, strict=True):
    codes = hasher.transform(X_query), hasher.transform(X)
    distances = hamming_distances(*codes)
    groups = [distances[shared == count] for count in range(5)]
    means = np.array([group.mean() for group in groups])
    low, high = np.array([np.percentile(group, [25, 75]) for group in groups]).T
    ax.vlines(np.arange(5) + shift, low, high, color=color, linewidth=5, alpha=0.35)
    name = type(hasher).__name__
    ax.plot(np.arange(5) + shift, means, marker=marker, color=color, ms=9, label=name)
    score = mean_average_precision_score(*codes, Y_query, Y)
    gain = ndcg_at_k_score(*codes, Y_query, Y, k=100)
    print(f"{name}: mAP {score:.3f}, NDCG@100 {gain:.3f}")
ax.set(xticks=range(5), xlabel="labels shared with the query", ylim=0)
ax.set(ylabel="Hamming distance (of 16 bits)")
ax.legend(fontsize=12)

# %%
# DSRH alone is told how many labels are shared, and has the best NDCG, the score that
# counts them. To NINH a row belongs to another or does not: one label and two are the
# same to it. CNNH is told no more than that. Its distances fall all the same, since
# rows that share much are mostly similar to the same others; but an image that shares
# three labels has nearly the code of one that shares four.
#
# Two stages
# ----------
#
# On the left are the codes that the first stage of CNNH has found from the labels of
# 700 images, a line an image and a column a bit. It has not seen a pixel. Images of one
# digit have the same code, but for a bit of the 4s, and so have 5 and 7, which are
# prime and nothing else. On the right is what the second stage, the network, makes of
# the 300 queries, whose labels it does not know.

cnnh = hashers[-1]
figure, axes = plt.subplots(1, 2, figsize=(8, 5.6), layout="constrained")
for ax, title, codes, its_digits in [
    (axes[0], "Stage one: codes from labels", cnnh.target_codes_, train_digits),
    (axes[1], "Stage two: codes of queries", cnnh.transform(X_query), query_digits),
]:
    by_digit = np.argsort(its_digits, kind="stable")
    ax.imshow(codes[by_digit], cmap="Greys", aspect="auto", interpolation="nearest")
    ends = np.bincount(its_digits).cumsum()
    ax.hlines(ends[:-1] - 0.5, -0.5, 15.5, color="#0072b2", linewidth=1)
    ax.set(xticks=[], yticks=ends - np.bincount(its_digits) / 2 - 0.5)
    ax.set_yticklabels(range(10), fontsize=12)
    ax.tick_params(left=False)
    ax.set_title(title, fontsize=14)
    ax.set_xlabel("16 bits", fontsize=12)
axes[0].set_ylabel("images, by their digit", fontsize=12)

# %%
# The inner products of the codes are to match the similarity of all pairs of rows. Few
# sweeps over the entries of the codes bring the error down as far as it goes, and the
# network then repeats almost all of the bits.

print("error before the first sweep and after each:")
print(cnnh.factorization_error_.round(3))
repeated = (cnnh.transform(X_train) == cnnh.target_codes_).mean()
print(f"bits of the 700 images that the network repeats: {repeated:.0%}")
plt.show()
