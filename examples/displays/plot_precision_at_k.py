"""
======================================
Precision of the first items retrieved
======================================

Whoever looks at results looks at the first few. This example draws how many of the
first k images that a search by codes finds show the digit of the query, for every k.
"""

# %%
# Data and searches
# -----------------
# A pipeline of a hasher and :class:`~sklhash.HammingNeighbors` is a search: its
# database is what it was fitted on. 300 handwritten digits are the queries.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklhash import ITQ, LSH, HammingNeighbors, OrthoHash
from sklhash.metrics import PrecisionAtKDisplay

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)
searches = [
    make_pipeline(hasher, HammingNeighbors()).fit(X, y)
    for hasher in (
        OrthoHash(n_bits=32, random_state=0),
        ITQ(n_bits=32, random_state=0),
        LSH(n_bits=32, random_state=0),
    )
]

# %%
# The whole ranking
# -----------------
# On the logarithmic axis the first ten items have as much room as the last thousand.
# There are about 150 images of each digit in the database, so that behind k = 150 no
# search can be precise any more, and at its end the database is a tenth relevant.
_, ax = plt.subplots(layout="constrained")
for search in searches:
    PrecisionAtKDisplay.from_estimator(search, X_query, y_query, ax=ax)
ax.set_title("Handwritten digits, codes of 32 bits")

# %%
# One page of results
# -------------------
# ``k`` ends the curve, and ``log=False`` makes the axis linear.
_, ax = plt.subplots(layout="constrained")
for search in searches:
    PrecisionAtKDisplay.from_estimator(search, X_query, y_query, k=50, log=False, ax=ax)
ax.set_title("The first fifty images")
plt.show()
