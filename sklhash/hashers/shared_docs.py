"""What the docstrings of deep hashers say of what all of them have."""

from __future__ import annotations

import inspect

__all__ = ["document_what_is_shared"]

SHARED_PARAMETERS = """
hidden_layer_sizes : sequence of int, default={hidden_layer_sizes}
    Widths of the hidden layers between the features and the hash layer.

augment : str, FeatureAugmentation, callable or None, default={augment}
    What each batch goes through in training. "gaussian" adds noise, "dropout" replaces
    features by their mean, "mixup" draws rows towards others; for other strengths pass
    one of :mod:`sklhash.training.augment`, such as ``GaussianNoise(0.5)``. A callable
    is given a batch, a float32 tensor of shape (n, n_features), and returns another.

max_epochs : int, default={max_epochs}
    Number of passes over the training rows.

batch_size : int, default={batch_size}
    Number of rows in a batch, at least 2. The last batch of an epoch may be shorter; a
    single row left over joins the batch before.

lr : float, default={lr}
    Learning rate.

weight_decay : float, default={weight_decay}
    Weight decay of the optimizer.

optimizer : {{"adam", "adamw", "sgd"}} or callable, default={optimizer}
    Optimizer; "sgd" has momentum 0.9. A callable is a class such as
    :class:`torch.optim.RMSprop`; it is given `weight_decay` unless that is 0.

lr_schedule : {{"step", "cosine"}}, callable or None, default={lr_schedule}
    What the learning rate is multiplied by in each epoch: 0.1 in the last fifth
    ("step"), a half cosine wave from 1 towards 0 ("cosine"), whatever
    ``lr_schedule(epoch, max_epochs)`` returns, or 1 (None).

callbacks : list, tuple or None, default={callbacks}
    Callbacks of skorch, such as ``skorch.callbacks.EarlyStopping("train_loss")``. One
    that sets the learning rate wants ``lr_schedule=None``.

device : str or torch.device, default={device}
    Where to train and transform. "auto" is CUDA if there is one, else MPS, else CPU.

net_params : dict or None, default={net_params}
    More parameters of the skorch net, such as ``{{"optimizer__momentum": 0.5}}``.

packed : bool, default={packed}
    Whether :meth:`transform` returns codes packed into bytes.

random_state : int, RandomState instance or None, default={random_state}
    Source of the initial weights, of the order of the rows and of what else the method
    draws. With an int, fits on the same machine with the same number of torch threads
    give the same codes. Torch's and numpy's global generators are not used.

verbose : int, default={verbose}
    0 is silent, 1 prints a line an epoch.
"""


SHARED_ATTRIBUTES = """
net_ : HashingNet
    The fitted skorch net; ``net_.module_`` is the head and ``net_.criterion_`` the
    loss.

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


def document_what_is_shared(cls: type) -> None:
    """Write shared parameters, with the class's defaults, and attributes in its doc."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    if "<shared parameters>" in doc:
        parameters = inspect.signature(cls).parameters
        defaults = {
            name: f'"{p.default}"' if isinstance(p.default, str) else p.default
            for name, p in parameters.items()
        }
        shared = SHARED_PARAMETERS.strip().format(**defaults)
        doc = doc.replace("<shared parameters>", shared)
    cls.__doc__ = doc.replace("<shared attributes>", SHARED_ATTRIBUTES.strip())
