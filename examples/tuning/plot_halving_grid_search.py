"""
=========================================
Drop bad candidates early: halving search
=========================================

Most candidates of a grid search are seen to be bad after few epochs.
`HalvingGridSearchCV` of scikit-learn trains all of them briefly, the best third three
times as long, and so on. This example shows which candidates it keeps, and whether it
loses a better one.
"""

# %%
# Twelve candidates
# -----------------
#
# Four learning rates and three sizes of the head for :class:`~sklhash.OrthoHash`, on
# 600 handwritten digits. In each of two folds the training rows are the database, and
# the others the queries. The score is their mean average precision.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    train_test_split,
)
from sklearn.pipeline import Pipeline

from sklhash import HammingNeighbors, OrthoHash

X, _, y, _ = train_test_split(
    *load_digits(return_X_y=True), train_size=600, random_state=0
)
pipeline = Pipeline(
    [("hasher", OrthoHash(32, random_state=0)), ("search", HammingNeighbors())]
)
grid = {
    "hasher__lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "hasher__hidden_layer_sizes": [(), (256,), (1024,)],
}
folds = StratifiedKFold(2)

# %%
# Three rounds
# ------------
#
# The resource that grows by a factor of three is the number of epochs, which is a
# parameter of the hasher.

halving = HalvingGridSearchCV(
    pipeline,
    grid,
    resource="hasher__max_epochs",
    min_resources=3,
    max_resources=27,
    factor=3,
    cv=folds,
    random_state=0,
).fit(X, y)

for n_candidates, epochs in zip(
    halving.n_candidates_, halving.n_resources_, strict=True
):
    print(f"{n_candidates:>2} candidates, {epochs:>2} epochs each")
best = {name.removeprefix("hasher__"): v for name, v in halving.best_params_.items()}
print("best:", best, f"mAP {halving.best_score_:.3f}")

# %%
# What would have become of the others?
# --------------------------------------
#
# In earnest one would not do this: all twelve candidates with 27 epochs, three times
# the work. A solid line is a candidate as long as the search kept it, a dotted one
# leads to where it would have ended.

everything = GridSearchCV(
    pipeline.set_params(hasher__max_epochs=27), grid, cv=folds, refit=False
).fit(X, y)

figure, ax = plt.subplots(figsize=(7, 4.9), layout="constrained")
rounds = halving.cv_results_
for params, score in zip(
    everything.cv_results_["params"],
    everything.cv_results_["mean_test_score"],
    strict=True,
):
    own = [i for i, of in enumerate(rounds["params"]) if params.items() <= of.items()]
    epochs, scores = rounds["n_resources"][own], rounds["mean_test_score"][own]
    kept = epochs[-1] == 27
    color = "#d55e00" if kept else "#0072b2"
    ax.plot([epochs[-1], 27], [scores[-1], score], ":", color=color, alpha=0.6)
    ax.plot(27, score, "o", markersize=8, color=color, markerfacecolor="white")
    ax.plot(epochs, scores, "o-", markersize=8, linewidth=2, color=color, zorder=3)

ax.plot([], [], "o-", color="#d55e00", linewidth=2, label="kept to the end")
ax.plot([], [], "o-", color="#0072b2", linewidth=2, label="dropped")
ax.plot([], [], "o:", color="#0072b2", mfc="white", label="had it been kept")
ax.set(xscale="log", xticks=[3, 9, 27], xticklabels=[3, 9, 27], xlim=(2.7, 30))
ax.minorticks_off()
ax.set_xlabel("epochs", fontsize=12)
ax.set_ylabel("mAP, mean of two folds", fontsize=12)
figure.legend(loc="outside upper center", ncols=3, fontsize=12)

# %%
# The search has kept the best two, for a third of the work. It need not: after three
# epochs it has dropped one that would have ended in fourth place, before one that it
# kept for another round. What learns slowly is dropped before it has learnt; a larger
# `min_resources` gives it more time.
#
# Where the number of epochs is not what costs, leave `resource` at its default, the
# number of rows, which every method has.

plt.show()
