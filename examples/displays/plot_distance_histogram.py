"""
=========================================
Do codes tell relevant items from others?
=========================================

Good codes are near if two items are relevant to each other, and far if not. This
example draws the Hamming distances of both kinds of pairs, and how far the two overlap.
"""

# %%
# Data and hashers
# ----------------
# Two handwritten digits are relevant to each other if they are the same digit. 300 of
# them are queries, the others the database.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, OrthoHash
from sklhash.metrics import DistanceHistogramDisplay

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)

# %%
# Three hashers
# -------------
# There are nine times as many pairs of different digits as of the same, so that each
# histogram shows the shares of its own kind. The overlap sums the smaller of the two
# shares at each distance: 0 if no distance has pairs of both kinds, 1 if the distance
# tells nothing. LSH, which draws random directions, and ITQ, which knows no labels, mix
# what OrthoHash has learned to keep apart.
_, axes = plt.subplots(3, 1, figsize=(8, 6.4), sharex=True, layout="constrained")
for method, ax in zip((OrthoHash, ITQ, LSH), axes, strict=True):
    hasher = method(n_bits=32, random_state=0).fit(X, y)
    DistanceHistogramDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), ax=ax
    )
    ax.set_ylabel("share of its kind")
    ax.label_outer()

# %%
# Codes made elsewhere
# --------------------
# ``from_predictions`` takes the codes themselves, here each image's 64 pixels with a
# one where there is ink. The queries are the database, and no image is paired with
# itself.
DistanceHistogramDisplay.from_predictions(
    X > 4, X > 4, y, y, exclude_self=True, name="pixels with ink"
)
plt.show()
