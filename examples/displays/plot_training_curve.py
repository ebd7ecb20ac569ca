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

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sklhash import HashNet
from sklhash.metrics import TrainingCurveDisplay

X, y = load_digits(return_X_y=True)

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
# With `validation_fraction` rows of each class are kept out, and after each epoch they
# are searched for among the others. The loss may fall for long after their mean average
# precision has stopped rising: `n_iter_no_change` ends the training then.

hasher = HashNet(32, validation_fraction=0.2, random_state=0).fit(X, y)
TrainingCurveDisplay.from_estimator(hasher, name="HashNet, 32 bits")
best = max(hasher.history_, key=lambda epoch: epoch["validation_map"])
print(f"best: mAP {best['validation_map']:.3f} in epoch {best['epoch']}")
plt.show()
