"""
========================================
How many bits are too many for a lookup?
========================================

To look up all codes within two bits of a query takes no scan of the database, which is
why papers report the precision there. But the more bits a code has, the further items
lie apart, until most queries have nothing within two bits. A precision that says
nothing of such queries flatters long codes, so the display shows both.
"""

# %%
# Data and hashers
# ----------------
# Each method is fitted once for each number of bits. 300 handwritten digits are the
# queries, the others the database.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, OrthoHash
from sklhash.metrics import PrecisionAtRadiusDisplay

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(X, y, test_size=300, random_state=0)
widths = [8, 12, 16, 24, 32, 64]

# %%
# Precision and empty balls
# -------------------------
# The lines with filled markers are the precision, where a query that finds nothing
# counts 0. The dotted lines are the share of such queries. Short codes put images of
# different digits together; long ones of LSH and ITQ put no two images near each other,
# and precision falls as the balls empty. OrthoHash gives the images of a digit much the
# same code at any number of bits.
_, ax = plt.subplots(layout="constrained")
for method in (OrthoHash, ITQ, LSH):
    hashers = [method(n_bits=n_bits, random_state=0).fit(X, y) for n_bits in widths]
    PrecisionAtRadiusDisplay.from_estimator(
        hashers, X_query, y_query, database=(X, y), radius=2, ax=ax
    )

# %%
# Without the queries that find nothing
# -------------------------------------
# ``empty="skip"`` leaves them out of the mean, and the same codes look better the
# longer they are. This is what a number that states no rule for empty balls may hide.
_, ax = plt.subplots(layout="constrained")
for empty in ("skip", "zero"):
    PrecisionAtRadiusDisplay.from_estimator(
        hashers,
        X_query,
        y_query,
        database=(X, y),
        radius=2,
        empty=empty,
        name=f'LSH, empty="{empty}"',
        ax=ax,
    )
plt.show()
