"""
===================================
Learn codes from images, end to end
===================================

A hasher learns from features, and mostly those are what a large network has made of
images. Where there is none, a network of one's own goes in front and is trained with
the code: ``backbone`` takes any torch module, or a function that makes one.

Here a small convolutional network is compared with the same hasher on raw pixels. It
runs on scikit-learn's handwritten digits, in seconds. For photographs of your own, run
``python plot_images_end_to_end.py FILE.npz``: a file with ``images``, uint8 of shape
(n, height, width, 3), their labels ``y``, and row numbers ``I_train``, ``database`` and
``query``.
"""

# %%
# Images come as they are
# -----------------------
#
# Torch wants the channels first, (n, channels, height, width). Images stay bytes in
# memory, and become float32 a batch at a time. Since scikit-learn's digits fill their
# 8 x 8 pixels, which is more than can be said of what is on a photograph, each is put
# somewhere on 16 x 16.

# sphinx_gallery_thumbnail_number = 3
import sys
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

from sklhash import OrthoHash
from sklhash.metrics import (
    RetrievedImagesDisplay,
    TrainingCurveDisplay,
    mean_average_precision_score,
)

if sys.argv[-1].endswith(".npz"):
    data = np.load(sys.argv[-1])
    images, y = data["images"], data["y"]
    train, database, query = data["I_train"], data["database"], data["query"]
    max_epochs, most, flips = 25, 4, True
else:
    digits, y = load_digits(return_X_y=True)
    images = np.zeros((len(y), 16, 16, 1), dtype=np.uint8)
    places = np.random.default_rng(0).integers(9, size=(len(y), 2))
    for image, digit, (row, column) in zip(images, digits, places, strict=True):
        image[row : row + 8, column : column + 8, 0] = digit.reshape(8, 8)
    database, query = train_test_split(np.arange(len(y)), stratify=y, random_state=0)
    train, max_epochs, most, flips = database, 15, 2, False

X = np.ascontiguousarray(images.transpose(0, 3, 1, 2))

# %%
# A network, and what a batch goes through
# ----------------------------------------
#
# Four convolutions, of which three halve the image. The batch normalisation before them
# takes care of pixels that go from 0 to 255. The end is to be a vector a row.


def convolutional_network(n_channels):
    layers = [nn.BatchNorm2d(n_channels)]
    for width_in, width_out, size, stride in [
        (n_channels, 32, 5, 2),
        (32, 64, 3, 2),
        (64, 128, 3, 2),
        (128, 128, 3, 1),
    ]:
        layers += [
            nn.Conv2d(width_in, width_out, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten())


# %%
# Each image is moved by a few pixels and, if that does not change what it shows, half
# of them are mirrored. The function may draw from torch's global generator: the fit
# seeds that one for it, and restores it.


def crop_and_flip(images, most, flips):
    n, _, height, width = images.shape
    padded = F.pad(images, [most] * 4)
    down, right = torch.randint(2 * most + 1, (2, n, 1, 1, 1), device=images.device)
    rows = down + torch.arange(height, device=images.device)[:, None]
    columns = right + torch.arange(width, device=images.device)
    cropped = padded.gather(2, rows.expand(*images.shape[:3], padded.shape[3]))
    cropped = cropped.gather(3, columns.expand(images.shape))
    if not flips:
        return cropped
    mirrored = torch.rand((n, 1, 1, 1), device=images.device) < 0.5
    return torch.where(mirrored, cropped.flip(3), cropped)


# %%
# The same head, with the network and without
# -------------------------------------------
#
# ``backbone_lr_scale=1`` since this network knows nothing yet; for one that was trained
# before, the default of 0.1 keeps what it has learnt. A tenth of the images is kept out
# of both trainings, to see after each epoch how well they are found.

settings = {"lr": 2e-3, "batch_size": 64, "max_epochs": max_epochs, "random_state": 0}
settings |= {"validation_fraction": 0.1}
hashers = {
    "raw pixels": OrthoHash(32, **settings),
    "convolutional network": OrthoHash(
        32,
        backbone=partial(convolutional_network, X.shape[1]),
        backbone_lr_scale=1,
        augment=partial(crop_and_flip, most=most, flips=flips),
        **settings,
    ),
}
inputs = {"raw pixels": X.reshape(len(X), -1), "convolutional network": X}
codes, axes = {}, None
for name, hasher in hashers.items():
    hasher.fit(inputs[name][train], y[train])
    codes[name] = hasher.transform(inputs[name])
    display = TrainingCurveDisplay.from_estimator(hasher, ax=axes, name=name)
    axes = display.axes_

# %%
# The losses do not tell which is better: that of the network is of images which are
# moved anew in each epoch, while the other learns by heart what is always in one place.
# The mAP of the images kept out tells.
#
# What a search finds
# -------------------
#
# The queries were in neither training. A row of pictures is a query, and what is
# nearest to it: first by codes from raw pixels, then by those from the network.

some = [np.flatnonzero(y[query] == label)[0] for label in np.unique(y)[:6]]
for name in hashers:
    found = codes[name][query], codes[name][database], y[query], y[database]
    score = mean_average_precision_score(*found)
    seconds = sum(epoch["seconds"] for epoch in hashers[name].history_)
    print(f"{name}: mAP {score:.3f}, trained in {seconds:.0f} seconds")
    RetrievedImagesDisplay.from_predictions(
        *found,
        images=images[query].squeeze(),
        database_images=images[database].squeeze(),
        queries=some,
        cmap="gray_r",
        name=f"{name}, mAP {score:.2f}",
    )
plt.show()
