"""
===========================
Search texts by their words
===========================

Texts become vectors by counting words: thousands of features, almost all of them zero.
Hashers take such sparse matrices as they are. This example makes 64 bits of each page
of scikit-learn's own reference, and asks which pages are alike.
"""

# %%
# Texts that are there already
# ----------------------------
#
# A text is the docstring of a public function or class. The module that it comes from
# stands in for a label: it is not used to learn from, only to see what was found.

from importlib import import_module
from inspect import getdoc

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from sklhash import ITQ, LSH, HashedNeighbors, hamming_distances
from sklhash.metrics import mean_average_precision_score

modules = [
    "cluster",
    "covariance",
    "datasets",
    "decomposition",
    "ensemble",
    "feature_selection",
    "impute",
    "linear_model",
    "metrics",
    "neighbors",
    "preprocessing",
]
names, texts, y = [], [], []
for module in modules:
    public = import_module(f"sklearn.{module}")
    for name in sorted(public.__all__):
        names.append(name)
        texts.append(getdoc(getattr(public, name)).split("\nExamples\n")[0])
        y.append(module)
names, y = np.array(names), np.array(y)

vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=2)
X = vectorizer.fit_transform(texts)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} in a text")

# %%
# Pages like a page
# -----------------
#
# The search keeps codes of 8 bytes. Behind each name is the distance, the number of
# bits in which the codes differ.

search = HashedNeighbors(ITQ(64, random_state=0)).fit(X)


def found(distances, indices):
    return ", ".join(
        f"{name} {distance}"
        for name, distance in zip(names[indices], distances, strict=True)
    )


distances, indices = search.kneighbors(n_neighbors=3)  # of each page, without itself
for page in ("KMeans", "roc_curve", "load_iris", "Ridge", "StandardScaler"):
    row = names.tolist().index(page)
    print(f"{page}: {found(distances[row], indices[row])}")

# %%
# Pages for a question
# --------------------
#
# A question is a text too, if it uses the words of the pages. The last one does not.

questions = [
    "fill in missing values",
    "draw a receiver operating characteristic curve",
    "predict a number by a straight line",
]
distances, indices = search.kneighbors(vectorizer.transform(questions), n_neighbors=3)
for question, *neighbors in zip(questions, distances, indices, strict=True):
    print(f"{question}:\n    {found(*neighbors)}")

# %%
# All distances
# -------------
#
# Each row and each column is a page, and the darker a point, the nearer the two. Pages
# of one module are near each other, though nobody has told the hasher of modules.
# Those on data sets are of two kinds: what is loaded, and what is made at random.

codes = search.hasher_.transform(X)
figure, ax = plt.subplots(figsize=(8, 6.4), layout="constrained")
image = ax.imshow(hamming_distances(codes, codes), cmap="Blues_r", vmax=32)
ends = np.cumsum([np.sum(y == module) for module in modules])
for end in ends[:-1]:
    ax.axhline(end - 0.5, color="#e69f00", linewidth=1)
    ax.axvline(end - 0.5, color="#e69f00", linewidth=1)
middles = (ends + np.append(0, ends[:-1])) / 2
ax.set_yticks(middles, modules, fontsize=12)
ax.set(xticks=[])
bar = figure.colorbar(image, shrink=0.8, extend="max")
bar.set_label("bits in which two pages differ, of 64", fontsize=12)

# %%
# What is lost
# ------------
#
# With the module as the label, a mean average precision says how much of the order by
# cosine is left in the codes. Here each page is a query among the others.

for hasher in (LSH(64, random_state=0), ITQ(64, random_state=0)):
    codes = hasher.fit_transform(X)
    score = mean_average_precision_score(codes, codes, y, y, exclude_self=True)
    print(f"{type(hasher).__name__}, 64 bits: mAP {score:.3f}")

relevant = (y[:, None] == y).astype(int)
others = ~np.eye(len(y), dtype=bool)
by_cosine = label_ranking_average_precision_score(
    relevant[others].reshape(len(y), -1),
    cosine_similarity(X)[others].reshape(len(y), -1),
)
print(f"cosine of the TF-IDF vectors: mAP {by_cosine:.3f}")

# %%
# Words are a poor description of a text. With embeddings from a language model in place
# of `X` the rest of this page stays as it is: :doc:`how to </how_to/embeddings>`.

plt.show()
