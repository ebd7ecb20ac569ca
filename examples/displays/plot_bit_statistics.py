"""
=====================================
How well are the bits of a code used?
=====================================

A code of 32 bits can tell four thousand million items apart, if its bits are used well:
each splits the items in halves, and no two say the same.
:class:`~sklhash.metrics.BitStatisticsDisplay` shows how far that holds, without any
labels. Here it compares three hashers on scikit-learn's handwritten digits.
"""

# %%
# Codes from random directions
# ----------------------------
#
# :class:`~sklhash.LSH` asks on which side of random planes an image lies. The bars,
# which are near one half, say that the planes split the images well. The map on the
# right says how the bits depend on each other: red if two bits tend to be equal, blue
# if they tend to differ, white if neither. Few pairs are far from white, and almost all
# images have a code of their own, as the title says.

# sphinx_gallery_thumbnail_number = 4
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklhash import ITQ, LSH, OrthoHash
from sklhash.metrics import BitStatisticsDisplay

X, y = load_digits(return_X_y=True)
lsh = LSH(32, random_state=0).fit(X)
BitStatisticsDisplay.from_estimator(lsh, X)

# %%
# Codes from a rotation of the principal components
# -------------------------------------------------
#
# :class:`~sklhash.ITQ` looks at the directions in which the images vary most, and turns
# them until little is lost when only signs are kept. By balance and correlation its
# bits are much like the random ones. Yet fewer codes are unique: more images that are
# alike have come to the same one.

itq = ITQ(32, random_state=0).fit(X)
BitStatisticsDisplay.from_estimator(itq, X)

# %%
# Codes that are learnt from labels
# ---------------------------------
#
# :class:`~sklhash.OrthoHash` gives each class a codeword, and learns to hit it. Such
# bits have ten digits to tell apart and nothing else: whole classes share a code, so
# that few are unique, and strong colours on the map are to be expected. That is no
# fault, for these codes find the right digits best by far. The display does not say
# which codes are the best to search with; it says how their bits are used.

orthohash = OrthoHash(32, random_state=0).fit(X, y)
BitStatisticsDisplay.from_estimator(orthohash, X)

# %%
# Bits that are of no use
# -----------------------
#
# What should alarm us is a bit that never changes, or two that always say the same:
# they cost memory and time, and distances count them in vain or twice. Here three bits
# of the first codes are spoilt on purpose, and the display names them: bit 5 is stuck,
# bit 20 repeats bit 3, and bit 30 is its opposite.

spoilt = lsh.transform(X)
spoilt[:, 5] = 0
spoilt[:, 20] = spoilt[:, 3]
spoilt[:, 30] = 1 - spoilt[:, 3]
display = BitStatisticsDisplay.from_predictions(spoilt, name="LSH, spoilt")

# %%
# The numbers are kept on the display, and are those of
# :func:`~sklhash.code_statistics`.

print("dead bits:", display.statistics.dead_bits)
print("duplicate bits:", *display.statistics.duplicate_bits)
print("mean entropy:", np.round(display.statistics.entropy.mean(), 3), "bits")
plt.show()
