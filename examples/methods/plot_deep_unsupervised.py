"""
=======================================
Deep codes without labels: CIBHash, NSH
=======================================

Without labels a network has to find out by itself what belongs together.
:class:`~sklhash.CIBHash` and :class:`~sklhash.NSH` begin with what is certain: a row
and the same row with noise on it should be near each other. This example shows what
they make of that, beside two methods that have no network.
"""

# %%
# Two noisy views of each row
# ---------------------------
#
# In training, each row of a batch is seen twice, with noise of about twice the spread
# of the features by default. CIBHash trains the code of one view to be nearer to that
# of the other than to those of other rows. NSH sorts the batch by its codes, and trains
# on what comes first as if it were relevant.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, NSH, CIBHash
from sklhash.metrics import PrecisionAtKDisplay, mean_average_precision_score

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(
    X, y, test_size=300, stratify=y, random_state=0
)
hashers = [method(32, random_state=0).fit(X) for method in (CIBHash, NSH, ITQ, LSH)]

# %%
# Do the codes withstand the noise?
# ---------------------------------
#
# The curves are the shares of the bits of 300 queries that change when noise is added.
# It is the same for all four methods, and so is the digit above, which shows how strong
# the noise is. At a half a code would have nothing to do with the row any more.

strengths = np.linspace(0, 3, 7)
spread = np.sqrt(X.var(axis=0).mean())
noise = np.random.default_rng(0).normal(scale=spread, size=X_query.shape)

figure = plt.figure(figsize=(8, 6), layout="constrained")
panels = figure.subplot_mosaic(
    [[f"{strength:g}" for strength in strengths], ["changed"] * len(strengths)],
    height_ratios=[1, 3.2],
)
three = np.flatnonzero(y_query == 3)[0]
for strength in strengths:
    noisy = X_query[three] + strength * noise[three]
    panel = panels[f"{strength:g}"]
    panel.imshow(noisy.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    panel.set(xticks=[], yticks=[])

ax = panels["changed"]
styles = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D")]
for hasher, (color, marker) in zip(hashers, styles, strict=True):
    codes = hasher.transform(X_query)
    changed = [
        np.mean(hasher.transform(X_query + strength * noise) != codes)
        for strength in strengths
    ]
    name = type(hasher).__name__
    ax.plot(strengths, changed, color=color, marker=marker, ms=8, lw=2, label=name)
ax.set_xlabel("strength of the noise, in spreads of the features", fontsize=12)
ax.set_ylabel("bits that change", fontsize=12)
ax.set(xlim=(-0.25, 3.25), ylim=0)
ax.yaxis.set_major_formatter("{x:.0%}")
ax.legend(fontsize=12)

# %%
# Both deep methods have learnt to see through noise. What is good against noise need
# not be good for a search, though.
#
# What a search finds
# -------------------
#
# An image is relevant to a query if it shows the same digit, which none of the methods
# was told.

for hasher in hashers:
    codes = hasher.transform(X_query), hasher.transform(X)
    score = mean_average_precision_score(*codes, y_query, y)
    print(f"{type(hasher).__name__:<8} mAP {score:.3f}")

_, ax = plt.subplots(layout="constrained")
for hasher in hashers:
    PrecisionAtKDisplay.from_estimator(hasher, X_query, y_query, database=(X, y), ax=ax)
ax.set_title("Handwritten digits, codes of 32 bits")

# %%
# ITQ, a matrix product, finds the best first ten. From the first twenty on CIBHash
# leads, and so it has the best mAP: it has brought more of the images of a digit
# together. NSH is behind ITQ at any k. It takes for relevant what its own codes put
# first, and so it depends on how good the features are to begin with.

plt.show()
