"""
=====================================
Why two programs report different mAP
=====================================

The same codes, the same distances, the same queries: how much of a mean average
precision lies in the order in which a sort happens to place items at equal distance?
"""

# %%
# Codes of digits
# ---------------
#
# LSH makes codes of 8 to 64 bits of 1,347 images of digits, the database, and of 450
# queries. A code of 8 bits has 9 distances, so that about 150 items share one.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import LSH, mean_average_precision_score

X, X_query, y, y_query = train_test_split(*load_digits(return_X_y=True), random_state=0)
BITS = (8, 16, 32, 64)


def score(n_bits, ties, order=slice(None), average="macro"):
    hasher = LSH(n_bits, random_state=0).fit(X)
    return mean_average_precision_score(
        hasher.transform(X_query),
        hasher.transform(X)[order],
        y_query,
        y[order],
        ties=ties,
        average=average,
    )


# %%
# All orders there can be
# -----------------------
#
# ``ties="optimistic"`` places the relevant ones of equally distant items first, and
# ``"pessimistic"`` last: what any program can report lies between them.
# ``"expected"``, the default, is the exact mean over all orders.

worst, expected, best = (
    np.array([score(n_bits, ties) for n_bits in BITS])
    for ties in ("pessimistic", "expected", "optimistic")
)

# %%
# A database in order
# -------------------
#
# ``ties="index"`` leaves tied items in the order of the database, as a stable sort
# does. Here the database is sorted by class: queries of the digit 0 find their own
# first among equals, those of the digit 9 last. The expectation does not know of it.

by_class = np.argsort(y, kind="stable")
sorted_index, sorted_expected = (
    score(8, ties, by_class, average=None) for ties in ("index", "expected")
)
digits = np.unique(y)


def mean_by_digit(scores):
    return [scores[y_query == digit].mean() for digit in digits]


# %%
# What it makes of a score
# ------------------------
#
# The bars shrink as codes get longer. At 8 bits, the luckiest order reports twice what
# the unluckiest does. On the right, the mean over all digits comes out near the
# expectation, since what some win others lose; the score of one digit does not.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
places = np.arange(len(BITS))
left.bar(
    *(places, best - worst),
    bottom=worst,
    width=0.5,
    color="#9ecae1",
    label="from worst to best order",
)
left.scatter(
    *(places, expected),
    marker="_",
    s=500,
    linewidths=3,
    color="black",
    label='ties="expected"',
)
for place, low, high in zip(places, worst, best, strict=True):
    left.annotate(f"{high:.2f}", (place, high + 0.01), ha="center", fontsize=11)
    left.annotate(f"{low:.2f}", (place, low - 0.01), ha="center", va="top", fontsize=11)
left.set_xticks(places, BITS)
left.set(xlabel="bits", ylabel="mean average precision", ylim=(0, 0.75))
left.set_title("The same codes, other orders of ties")
left.legend(loc="upper left")

right.bar(digits - 0.2, mean_by_digit(sorted_expected), 0.4, color="black")
right.bar(digits + 0.2, mean_by_digit(sorted_index), 0.4, color="#d55e00")
right.set_xticks(digits)
right.set(xlabel="digit of the query", ylim=(0, 0.75))
right.set_title("8 bits, a database sorted by digit")
right.legend(['ties="expected"', 'ties="index"'], loc="upper right")

plt.show()
