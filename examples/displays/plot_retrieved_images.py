"""
=======================================
Look at what a search among codes finds
=======================================

A mean average precision is one number; the images behind it say what kind of mistakes a
search makes. :class:`~sklhash.metrics.RetrievedImagesDisplay` draws queries and their
nearest images, with the distance below each.
"""

# %%
# A search among 12 bits
# ----------------------
#
# 1,697 of scikit-learn's handwritten digits are the database, and a hundred are
# queries, of which four are shown. The search keeps codes alone, so the images of the
# database are handed to the display.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, HashedNeighbors, OrthoHash
from sklhash.metrics import RetrievedImagesDisplay

X, y = load_digits(return_X_y=True)
X_query, X, y_query, y = X[:100], X[100:], y[:100], y[100:]
shown = {"database_images": X, "image_shape": (8, 8), "queries": [0, 3, 8, 9]}

search = make_pipeline(LSH(12, random_state=0), HammingNeighbors()).fit(X, y)
RetrievedImagesDisplay.from_estimator(
    search, X_query, y_query, **shown, cmap="gray_r", name="LSH, 12 bits"
)

# %%
# The frames tell right from wrong, and so do the signs on them, for those who print in
# grey or do not see the colours. The lines below the distances are of no less interest:
# all hits above one line are at the same distance from the query, and nothing but their
# place in the database decides who comes first. An arrow at its end says that there are
# more such images than were drawn. With 12 bits, most of what is seen here is decided
# by such ties. That is why the metrics of this library take ties in expectation.
#
# More bits, and labels to learn from
# -----------------------------------
#
# :class:`~sklhash.OrthoHash` has learnt from the labels of the database what to look
# at, and all hits are right. There are more ties than before: most images of one digit
# have the very same code, at distance 0. Where all that are tied are relevant, their
# order does no harm.

search = make_pipeline(OrthoHash(64, random_state=0), HammingNeighbors()).fit(X, y)
RetrievedImagesDisplay.from_estimator(
    search, X_query, y_query, **shown, cmap="gray_r", name="OrthoHash, 64 bits"
)

# %%
# The order of a search is drawn as it is
# ---------------------------------------
#
# :class:`~sklhash.HashedNeighbors` can put a shortlist in the order of a finer
# distance, here that of the pixels. The display shows that order and those distances,
# and the ties are gone. Of the images that 12 bits put on the shortlist, the best now
# come first.

search = HashedNeighbors(LSH(12, random_state=0), rerank="euclidean").fit(X, y)
RetrievedImagesDisplay.from_estimator(
    search, X_query, y_query, **shown, cmap="gray_r", name="LSH, 12 bits, re-ranked"
)
plt.show()
