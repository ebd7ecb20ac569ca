"""
=============================
Follow the training of a code
=============================

A network is trained on real numbers, and is used by their signs. Methods differ in how
they bridge that gap. :class:`~sklhash.metrics.TrainingCurveDisplay` draws what a deep
hasher recorded in each epoch: the loss, and quantities of the method's own.
"""

# %%
# HashNet sharpens its tanh
# -------------------------
#
# :class:`~sklhash.HashNet` compares codes :math:`\tanh(\beta z)`, where :math:`\beta`
# grows during the training. Its history has :math:`\beta`, and the quantization gap:
# how far the codes are from their signs.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklhash import HashNet
from sklhash.metrics import map_scorer
from sklhash.metrics.plots import TrainingCurveDisplay

X, y = load_digits(return_X_y=True)
X_query, X, y_query, y = X[:500], X[500:], y[:500], y[500:]

slow = HashNet(32, max_epochs=20, random_state=0).fit(X, y)
display = TrainingCurveDisplay.from_estimator(slow, name="sqrt")

# %%
# Two trainings on the same axes
# ------------------------------
#
# ``continuation="staged"`` lets :math:`\beta` grow faster, in ten stages from 1 to 10.
# Each new stage is a step down for the gap.

fast = HashNet(32, max_epochs=20, continuation="staged", random_state=0).fit(X, y)
display = TrainingCurveDisplay.from_estimator(slow, name="sqrt")
TrainingCurveDisplay.from_estimator(fast, ax=display.axes_, name="staged")

# %%
# A validation mAP beside the loss
# --------------------------------
#
# A history is a list of dicts, one an epoch, so that anything may be added to it. Here
# :meth:`~sklhash.HashNet.partial_fit` goes on epoch by epoch, and after each one rows
# that were kept out search each other.

hasher = HashNet(32, random_state=0)
history = []
for epoch in range(1, 11):
    hasher.partial_fit(X, y)
    loss = hasher.history_[-1]["loss"]
    validation_map = map_scorer(hasher, X_query, y_query)
    history.append({"epoch": epoch, "loss": loss, "validation_map": validation_map})
TrainingCurveDisplay.from_history(history, name="HashNet, 32 bits")
best = max(history, key=lambda row: row["validation_map"])
print(f"best: mAP {np.round(best['validation_map'], 3)} in epoch {best['epoch']}")
plt.show()
