"""
========================================
Precision and recall of a Hamming search
========================================

A search by codes can stop at a Hamming radius, or after some number of items. Either
way it finds more of the relevant items the further it goes, and more that are not
relevant. This example draws the trade between the two for three hashers on scikit-
learn's handwritten digits: an image is relevant to a query if it shows the same digit.
"""

# %%
# Data and hashers
# ----------------
# 300 images are queries; the others are the database, from which the hashers learn. LSH
# draws random directions, ITQ turns the principal axes so that little is lost when only
# signs are kept, and OrthoHash learns from the labels.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, OrthoHash
from sklhash.metrics import HammingPrecisionRecallDisplay

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)
hashers = [
    hasher.fit(X, y)
    for hasher in (
        OrthoHash(n_bits=32, random_state=0),
        ITQ(n_bits=32, random_state=0),
        LSH(n_bits=32, random_state=0),
    )
]

# %%
# By rank
# -------
# One point is the first k items, for every k. Items at the same distance have no order
# among themselves, so they count by the expectation over all their orders: another
# order of the database would give the same curve. ``ax`` puts several estimators on the
# same axes.
_, ax = plt.subplots(layout="constrained")
for hasher in hashers:
    HammingPrecisionRecallDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), by="rank", ax=ax
    )
ax.set_title("Every rank a point")

# %%
# By radius
# ---------
# One point is all items within a radius of 0, 1, 2, … bits, and the markers show how
# far a bit goes. The curves of LSH and ITQ begin at the bottom left: hardly any query
# has an item with exactly its own code, and a query that finds nothing has a precision
# of 0. OrthoHash gives two of three relevant images the very code of the query.
_, ax = plt.subplots(layout="constrained")
for hasher in hashers:
    HammingPrecisionRecallDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), by="radius", ax=ax
    )
ax.set_title("Every radius a point")
plt.show()
