"""
=========================
A deep method of your own
=========================

A deep method is a loss and a class that names its parameters. Everything else is there
already: the network and its training, checkpoints, search, scores, files. This page
writes one from scratch, `CentreHash`, and uses it as any other hasher.
:doc:`/user_guide/own_method` says what a loss may do beyond this.
"""

# %%
# The method
# ----------
# Each class has a centre among the real-valued codes. A row is to be nearer to the
# centre of its class than to the others: the loss is a softmax over the inner products
# of its code :math:`\tanh(z)` with the centres, each divided by its length. Centres are
# drawn at random and then follow their rows: after each batch, the centre of a class
# becomes `momentum` times itself plus the rest times the mean code of its rows.

from numbers import Real
from typing import ClassVar

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import Interval
from torch.nn import functional as F

from sklhash import LSH, DeepHasher, HammingNeighbors, HashLoss, OrthoHash
from sklhash.metrics import DistanceHistogramDisplay, TrainingCurveDisplay

# %%
# The centres are a buffer of the loss: so they are on the device that trains, in
# checkpoints and in saved files.


class CentreLoss(HashLoss):
    def __init__(self, momentum):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.empty(0))

    def on_fit_begin(self, targets, n_bits, generator):
        self.centres = torch.randn(targets.n_classes, n_bits, generator=generator)

    def forward(self, output, y, index):
        codes = output.tanh()
        logits = codes @ F.normalize(self.centres).T
        self._follow(codes.detach(), y)
        return F.cross_entropy(logits, y / y.sum(dim=1, keepdim=True))

    def _follow(self, codes, y):
        n_rows = y.sum(dim=0)[:, None]
        means = y.T @ codes / n_rows.clamp(min=1)
        kept = torch.where(n_rows > 0, self.momentum, 1.0)
        self.centres = kept * self.centres + (1 - kept) * means

    def log(self):
        bits = (self.centres > 0).float()
        return {"centre_distance": torch.pdist(bits, p=0).mean()}


class CentreHash(DeepHasher):
    momentum: float = 0.9
    max_epochs = 20
    lr = 0.01

    _parameter_constraints: ClassVar = {
        **DeepHasher._parameter_constraints,
        "momentum": [Interval(Real, 0, 1, closed="both")],
    }

    def _make_loss(self, targets):
        return CentreLoss(self.momentum)


# %%
# That is all. `momentum`, which is annotated, is a parameter of the constructor now,
# beside `n_bits` and those that deep hashers share, two of which got another default.
# Labels come as an indicator, so several labels a row need nothing more. Nothing had to
# be registered, and the class passes every check that scikit-learn has for estimators
# (`check_estimator`, which our tests run on these lines).
#
# How good is it?
# ---------------
# 300 handwritten digits are queries, the others the database, whose labels are learnt
# from. :class:`~sklhash.LSH` learns nothing. :class:`~sklhash.OrthoHash` has fixed
# codewords in place of centres, and by default a hidden layer and noise in the
# training. `CentreHash` is given a hidden layer in the last row.

X, X_query, y, y_query = train_test_split(
    *load_digits(return_X_y=True), test_size=300, random_state=0
)
lsh, centrehash = LSH(16, random_state=0), CentreHash(16, random_state=0)
hashers = {
    "LSH": lsh,
    "OrthoHash, linear": OrthoHash(16, hidden_layer_sizes=(), random_state=0),
    "CentreHash, linear": centrehash,
    "OrthoHash": OrthoHash(16, random_state=0),
    "CentreHash, hidden layer": CentreHash(
        16, hidden_layer_sizes=(1024,), lr=1e-3, random_state=0
    ),
}
for name, hasher in hashers.items():
    search = make_pipeline(hasher, HammingNeighbors()).fit(X, y)
    print(f"{name:25} mAP {search.score(X_query, y_query):.3f}")

# %%
# One small set of images is no benchmark: it shows that the method works. Pairs of
# images of the same digit are a few bits apart, others about eight:

_, axes = plt.subplots(
    1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained"
)
for hasher, ax in zip((lsh, centrehash), axes, strict=True):
    DistanceHistogramDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), ax=ax
    )
    ax.label_outer()

# %%
# Grid search over its parameter
# ------------------------------
# Does it matter that the centres move? With a `momentum` of 1 they stay where they were
# drawn, with 0 they are the means of the last batch.

search = make_pipeline(CentreHash(16, random_state=0), HammingNeighbors())
grid = GridSearchCV(
    search,
    {"centrehash__momentum": [0.0, 0.5, 0.9, 0.99, 1.0]},
    cv=StratifiedKFold(3),
)
grid.fit(X, y)
for momentum, score in zip(
    grid.cv_results_["param_centrehash__momentum"],
    grid.cv_results_["mean_test_score"],
    strict=True,
):
    print(f"momentum {momentum:4}  mAP {score:.3f}")
print(f"on the queries, with the best: mAP {grid.score(X_query, y_query):.3f}")

# %%
# It does: centres that follow their rows are better than random ones, and how quickly
# they follow matters little.
#
# What happens in the training
# ----------------------------
# What `log` returns is in `history_`, and is drawn beside the loss: in how many bits
# two centres differ, on average over all pairs. Random codes of 16 bits differ in 8.
# The softmax pushes rows off the centres of other classes; a centre that follows its
# rows goes with them.

fixed = CentreHash(16, momentum=1.0, random_state=0).fit(X, y)
display = TrainingCurveDisplay.from_estimator(centrehash, name="momentum 0.9")
display = TrainingCurveDisplay.from_estimator(
    fixed, ax=display.axes_, name="momentum 1"
)
plt.show()
