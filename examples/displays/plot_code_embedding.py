"""
==============
A map of codes
==============

Codes of many bits cannot be drawn, but it can be drawn which of them are near each
other. :class:`~sklhash.metrics.CodeEmbeddingDisplay` finds the nearest codes of each by
Hamming distance, and lets t-SNE lay them out in the plane.
"""

# %%
# Codes without and with labels
# -----------------------------
#
# Both hashers below make 32 bits of handwritten digits, of which the first thousand are
# there to learn from and the rest is drawn. :class:`~sklhash.ITQ` sees the images
# alone; :class:`~sklhash.HashNet` sees their labels too.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sklhash import ITQ, HashNet
from sklhash.metrics import CodeEmbeddingDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = X[:1000], X[1000:], y[:1000], y[1000:]

figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
for method, ax in zip((ITQ, HashNet), axes, strict=True):
    hasher = method(32, random_state=0).fit(X_train, y_train)
    CodeEmbeddingDisplay.from_estimator(hasher, X_test, y_test, random_state=0, ax=ax)
axes[0].get_legend().remove()  # it is the same as the other one

# %%
# On the left, digits of some kinds lie among others. On the right each kind has an
# island of its own, and the few that went ashore elsewhere are the mistakes a search
# will make. Many images of one kind have the very same code; t-SNE lays these out as
# rings and tight clusters.
#
# Read such a map with care: only who is near whom can be seen on it. How far apart two
# islands are, how large they are, and the two axes mean nothing, and another
# `random_state` gives another map. For a number, use
# :func:`~sklhash.metrics.mean_average_precision_score`.
#
# Without labels
# --------------
#
# Without labels the map still shows whether the codes form groups.

codes = ITQ(32, random_state=0).fit(X_train).transform(X_test)
CodeEmbeddingDisplay.from_predictions(codes, random_state=0, name="ITQ, 32 bits")
plt.show()
