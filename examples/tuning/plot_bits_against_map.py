"""
========================
How many bits do I need?
========================

Each bit costs memory and time in every search. This example draws the mean average
precision of four methods over the number of bits, beside that of an exact search by
the cosine of the features, and looks at what ties do to such a curve.
"""

# %%
# Codes of 8 to 64 bits
# ---------------------
#
# 300 handwritten digits are queries, and the other 1,497 the database. Labels are known
# for 500 of the latter. Each method is fitted with three seeds: the lines are the
# means, and the bands, where they can be seen, go from the lowest to the highest.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, SDH, HashNet
from sklhash.metrics import mean_average_precision_score

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(
    X, y, test_size=300, stratify=y, random_state=0
)
X_train, _, y_train, _ = train_test_split(
    X, y, train_size=500, stratify=y, random_state=0
)


def score(method, n_bits, seed):
    hasher = method(n_bits, random_state=seed).fit(X_train, y_train)
    codes = hasher.transform(X_query), hasher.transform(X)
    return mean_average_precision_score(*codes, y_query, y)


widths = [8, 16, 32, 64]
scores = {
    method.__name__: np.array(
        [[score(method, n_bits, seed) for seed in range(3)] for n_bits in widths]
    )
    for method in (SDH, HashNet, ITQ, LSH)
}
relevant = y_query[:, None] == y
cosine = label_ranking_average_precision_score(relevant, cosine_similarity(X_query, X))

# %%
# More bits, and how much more
# ----------------------------

figure, ax = plt.subplots(figsize=(7, 4.9), layout="constrained")
styles = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D")]
for (name, of_widths), (color, marker) in zip(scores.items(), styles, strict=True):
    means, low, high = of_widths.mean(1), of_widths.min(1), of_widths.max(1)
    ax.plot(widths, means, color=color, marker=marker, markersize=8, linewidth=2)
    ax.fill_between(widths, low, high, color=color, alpha=0.25, linewidth=0)
    ax.text(68, means[-1], name, color=color, va="center", fontsize=13)
ax.hlines(cosine, 7, 66, color="black", linestyle="--")
ax.text(7.5, cosine + 0.012, "cosine of the features, 256 bytes", fontsize=11)
ax.set_xscale("log", base=2)
ax.set(xticks=widths, xticklabels=widths, xlim=(7, 105), ylim=(0.2, 1.02))
ax.minorticks_off()
ax.set_xlabel("bits of a code", fontsize=12)
ax.set_ylabel("mAP of 300 queries", fontsize=12)

# %%
# With labels, 16 or 32 bits do here: they are far above the cosine, which knows none,
# and more bits add nothing. ITQ, without labels, comes up to the cosine with 64 bits, 8
# bytes in place of 256. Random directions want the most bits. With three seeds one sees
# how much of a difference is luck.
#
# The digits are few and easy. :doc:`The user guide </user_guide/hashers>` has the
# numbers of five other sets.
#
# Ties
# ----
#
# A code of 8 bits has nine distances for 1,497 images, so that most of a ranking is
# ties, the more of them the fewer the bits. The scores above are the expectation over
# all orders of the tied images. ``ties="index"`` takes them as they come in the
# database, as research code mostly does, and then the same codes have another score in
# each order of the database.

hasher = LSH(8, random_state=0).fit(X_train)
query_codes, codes = hasher.transform(X_query), hasher.transform(X)
orders = [np.random.default_rng(seed).permutation(len(y)) for seed in range(20)]
for ties in ("expected", "index"):
    scores_of_orders = [
        mean_average_precision_score(
            query_codes, codes[order], y_query, y[order], ties=ties
        )
        for order in orders
    ]
    print(f"{ties:<8} from {min(scores_of_orders):.4f} to {max(scores_of_orders):.4f}")

# %%
# In the mean of 300 queries and a database in random order little of that is left. A
# database that is sorted by its classes, as many are, is another matter.

in_order = np.argsort(y, kind="stable")
sorted_score = mean_average_precision_score(
    query_codes, codes[in_order], y_query, y[in_order], ties="index"
)
print(f"index    {sorted_score:.4f}, the database sorted by classes")
plt.show()
