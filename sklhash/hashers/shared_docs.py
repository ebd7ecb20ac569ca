"""What the docstrings of deep hashers say of what all of them have."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["document_what_is_shared"]

SHARED_PARAMETERS = """
backbone : torch.nn.Module, callable or None, default={backbone}
    A network in front of the head, or a function without arguments that makes one. It
    sees batches of float32 rows of any shape, such as images (n, C, H, W), and turns
    them into features (n, n_features). A module is copied, and the copy is trained, in
    float32.

backbone_lr_scale : float, default={backbone_lr_scale}
    What the learning rate is multiplied by for the backbone, at least 0, which freezes
    it: then its features are computed once and kept in memory, if they fit into
    scikit-learn's `working_memory` and `augment` is not a function of its input.

hidden_layer_sizes : sequence of int, default={hidden_layer_sizes}
    Widths of the hidden layers between the features and the hash layer.

augment : {{"dropout", "gaussian", "mixup"}}, {kinds_of_augment}, default={augment}
    What each batch goes through in training. "gaussian" adds noise, "dropout" replaces
    features by their mean, "mixup" draws rows towards others; for other strengths pass
    one of ``sklhash.training.augment``, such as ``GaussianNoise(0.5)``. A callable
    is given a batch, a float32 tensor, and returns another of its shape. With a
    `backbone` a callable is given what goes into it, and the others what comes out.

max_epochs : int, default={max_epochs}
    Number of passes over the training rows.

batch_size : int, default={batch_size}
    Number of rows in a batch, at least 2. The last batch of an epoch may be shorter; a
    single row left over joins the batch before.

lr : float, default={lr}
    Learning rate, positive.

weight_decay : float, default={weight_decay}
    Weight decay of the optimizer, at least 0.

optimizer : {{"adam", "adamw", "sgd"}} or callable, default={optimizer}
    Optimizer; "sgd" has momentum 0.9. A callable is a class such as
    :class:`torch.optim.RMSprop`; it is given `weight_decay` unless that is 0.

lr_schedule : {{"step", "cosine"}}, callable or None, default={lr_schedule}
    What the learning rate is multiplied by in each epoch: 0.1 in the last fifth
    ("step"), a half cosine wave from 1 towards 0 ("cosine"), whatever
    ``lr_schedule(epoch, max_epochs)`` returns, or 1 (None).

validation_fraction : float or None, default={validation_fraction}
    Fraction of the rows, between 0 and 1, of each class alike, that is not trained on
    but searched for among the others after each epoch: "validation_map" in `history_`
    is the mean average precision.

n_iter_no_change : int or None, default={n_iter_no_change}
    With `validation_fraction`, number of epochs without a better "validation_map" after
    which the training ends. The hasher is then that of the best epoch. None trains for
    `max_epochs` and takes the last.

callbacks : list, tuple or None, default={callbacks}
    Callbacks of skorch, such as ``skorch.callbacks.EarlyStopping("train_loss")``. One
    that sets the learning rate wants ``lr_schedule=None``. Those of scikit-learn go to
    :meth:`set_callbacks`.

checkpoint : str, path-like, Checkpoint or None, default={checkpoint}
    A folder to write the state of the training into after each epoch; for every so many
    epochs pass :class:`~sklhash.training.checkpoints.Checkpoint`. A fit with the same
    parameters and data, interrupted or killed, goes on from there, and on a CPU with
    the same number of threads becomes bit for bit what it would have been. A finished
    one is taken up as it is, unless `random_state` is None. Only :meth:`fit` writes.

warm_start : bool, default={warm_start}
    Whether :meth:`fit` goes on from the fit before, for `max_epochs` more: same
    features, classes, `n_bits` and network.

precision : {{"float32", "bf16"}}, default={precision}
    What the network computes in while it is trained; "bf16" is autocast to bfloat16.
    The loss is always float32, and so is :meth:`transform`.

compile : bool, default={compile}
    Whether the network is compiled by :func:`torch.compile` for the training, which
    needs a C++ compiler and, the first time, up to a minute.

accelerator : accelerate.Accelerator or None, default={accelerator}
    Trains on several devices, each of which takes a part of every batch, in as many
    processes. It then says which `device`.

device : str or torch.device, default={device}
    Where to train and transform. "auto" is CUDA if there is one, else MPS, else CPU.
    Features that are in memory go there once, others a batch at a time.

net_params : dict or None, default={net_params}
    More parameters of the skorch net, such as ``{{"optimizer__momentum": 0.5}}``.

packed : bool, default={packed}
    Whether :meth:`transform` returns codes packed into bytes.

random_state : int, RandomState instance or None, default={random_state}
    Source of the initial weights, of the order of the rows and of what else the method
    draws. With an int, fits on the same machine with the same number of torch threads
    give the same codes. Torch's and numpy's global generators are not used.

verbose : int, default={verbose}
    0 is silent, 1 shows a bar over epochs with the loss and the method's own
    quantities, 2 prints a line an epoch.
"""


SHARED_ATTRIBUTES = """
net_ : HashingNet
    The fitted skorch net; ``net_.module_`` is the head, behind a backbone if there is
    one, a plain torch module, and ``net_.criterion_`` the loss.

loss_curve_ : list of float
    The loss of each epoch.

n_iter_ : int
    Number of epochs so far.

n_bits_ : int
    Number of bits of a code.

n_features_in_ : int
    Number of features.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features. Defined only when `X` has names that are all strings.
"""


def document_what_is_shared(cls: Any) -> None:
    """Write shared parameters, with the class's defaults, and attributes in its doc."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    if "<shared parameters>" in doc:
        parameters = inspect.signature(cls).parameters
        defaults = {
            name: f'"{p.default}"' if isinstance(p.default, str) else p.default
            for name, p in parameters.items()
        }
        kinds = "FeatureAugmentation or callable"
        if None in cls._parameter_constraints["augment"]:
            kinds = "FeatureAugmentation, callable or None"
        shared = SHARED_PARAMETERS.strip().format(**defaults, kinds_of_augment=kinds)
        doc = doc.replace("<shared parameters>", shared)
    cls.__doc__ = doc.replace("<shared attributes>", SHARED_ATTRIBUTES.strip())
