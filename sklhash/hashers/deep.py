"""DeepHasher: a head and a loss, trained by skorch, behind fit and transform."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names, _check_n_features
from torch import Tensor, nn
from torch.utils.data import Dataset

from sklhash._fitting import unchanged_on_failure
from sklhash._state import (
    Checks,
    absent_or,
    array_of,
    flag,
    list_of,
    whole,
)
from sklhash._stored_tensors import with_stored_tensors
from sklhash._validation import Interval, check_count, check_same_length
from sklhash.hashers.base import BaseHasher
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.shared_docs import document_what_is_shared
from sklhash.hashers.supervision import (
    labelled_rows,
    refuse_missing_y,
    refuse_what_tells_nothing_apart,
)
from sklhash.pairs import Pairs
from sklhash.targets import Targets, encode_targets
from sklhash.training.augment import AUGMENTATIONS, FeatureAugmentation
from sklhash.training.backbones import BackboneHead
from sklhash.training.batches import TrainingRows
from sklhash.training.checkpoints import Checkpoint
from sklhash.training.datasets import (
    DatasetArray,
    StreamArray,
    StreamedRows,
    dataset_as_array,
    refuse_loader,
)
from sklhash.training.heads import HashHead

if TYPE_CHECKING:
    from sklhash.training.net import HashingNet

__all__ = ["DeepHasher", "HashLoss", "labels_apart"]


class DeepHasher(CallbackSupportMixin, BaseHasher):
    """Base of hashers that train a torch module.

    A method is a subclass that declares its own parameters as annotated class
    attributes and returns its loss from `_make_loss`. If the loss keeps state for each
    row, the subclass sets ``_supports_partial_fit = False``; if it learns from nothing
    but which rows share a label, ``_learns_by_similarity = True``.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    <shared parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.

    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr", "seconds" and the
        method's own quantities.

    <shared attributes>

    Examples
    --------
    A hasher that draws the codes of similar rows together and pushes others apart:

    >>> from torch.nn import functional as F
    >>> from sklhash import DeepHasher, HashLoss
    >>> class PairLoss(HashLoss):
    ...     def __init__(self, sharpness):
    ...         super().__init__()
    ...         self.sharpness = sharpness
    ...
    ...     def forward(self, output, y, index):
    ...         codes = output.tanh()
    ...         cosine = codes @ codes.T / codes.shape[1]
    ...         similar = (y @ y.T > 0).float()
    ...         return F.binary_cross_entropy_with_logits(
    ...             self.sharpness * cosine, similar
    ...         )
    >>> class PairHash(DeepHasher):
    ...     sharpness: float = 5.0
    ...
    ...     def _make_loss(self, targets):
    ...         return PairLoss(self.sharpness)
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> PairHash(8, sharpness=4.0, random_state=0).fit_transform(X, y).shape
    (150, 8)
    """

    backbone: nn.Module | Callable[[], nn.Module] | None = None
    backbone_lr_scale: float = 0.1
    hidden_layer_sizes: Sequence[int] = ()
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = None
    max_epochs: int = 50
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.0
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam"
    lr_schedule: str | Callable[[int, int], float] | None = None
    validation_fraction: float | None = None
    n_iter_no_change: int | None = None
    callbacks: Sequence[Any] | None = None
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None
    warm_start: bool = False
    precision: str = "float32"
    compile: bool = False
    accelerator: Any = None
    device: str | torch.device = "auto"
    net_params: dict[str, Any] | None = None
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    _supports_partial_fit: ClassVar[bool] = True
    _learns_by_similarity: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "backbone": [nn.Module, callable, None],
        "backbone_lr_scale": [Interval(Real, 0, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "augment": [StrOptions({*AUGMENTATIONS}), FeatureAugmentation, callable, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions({"adam", "adamw", "sgd"}), callable],
        "lr_schedule": [StrOptions({"step", "cosine"}), callable, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, tuple, None],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
        "warm_start": ["boolean"],
        "precision": [StrOptions({"float32", "bf16"})],
        "compile": ["boolean"],
        "accelerator": [HasMethods(["prepare", "backward"]), None],
        "device": [str, torch.device],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "_row_shape": list_of(whole(1)),
        "classes_": absent_or(array_of("biufUOT", "n_classes")),
        "_multilabel": absent_or(flag),
    }
    _not_stored: ClassVar[tuple[str, ...]] = ("accelerator",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        document_what_is_shared(cls)

    @abstractmethod
    def _make_loss(self, targets: Any) -> HashLoss:
        """Return the method's loss for these targets."""

    def _make_head(self, n_features: int) -> HashHead:
        """Return the method's head, a `HashHead` or an instance of a subclass of it."""
        return HashHead(n_features, int(self.n_bits), self.hidden_layer_sizes)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn codes from labelled features.

        If it fails or is interrupted, the hasher is as it was before.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch Dataset} of shape \
                (n_samples, n_features)
            Features; with a `backbone` rows of any shape. A dataset yields ``(x, y)``.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Class labels, or a label indicator of zeros and ones. Rows without a label
            are left out with a warning. None if the dataset has them.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If a parameter is out of range, `X` or `y` is malformed, fewer than two rows
            or two classes are left to learn from, or the training diverges.

        Warns
        -----
        UserWarning
            If bits are the same for all rows, or equal to another bit.
        """
        self._init_callback_context(max_subtasks=self.max_epochs)
        with unchanged_on_failure(self):
            dataset = self._check_training(X, y, classes=None, first=not self._goes_on)
            self._check_learnable(dataset.targets)
            self._train(dataset, X, y)
        return self

    @available_if(lambda self: self._supports_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, *, n_epochs: int | None = None
    ) -> Self:
        """Train on a chunk of rows.

        The first call, on a hasher that was not fitted, fixes the classes, the scale of
        the features and what the method draws for a fit; later calls go on from there.
        Each chunk has `lr_schedule` to itself, from a learning rate of `lr` times its
        share of the rows so far, to the power of 1.2, so that later chunks change less
        and the last does not outweigh the others. Chunks are to be shuffled: of classes
        that no longer come the codes are forgotten. `validation_fraction`, `checkpoint`
        and the callbacks of :meth:`set_callbacks` are for :meth:`fit`; changes of other
        parameters than `lr`, `lr_schedule` and `max_epochs` wait for the next one.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch Dataset} of shape \
                (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels)
            Labels, all among the classes.

        classes : array-like of shape (n_classes,), default=None
            All classes that may come or, with a label indicator, the names of its
            columns. None takes those of the first call. Later calls may repeat it.

        n_epochs : int, default=None
            Number of passes over the chunk; None is `max_epochs`, so that a stream
            costs what a fit on all of it would.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If `y` has labels that are not among the classes, `classes` are not those of
            the first call, or `n_epochs` is less than 1.

        TypeError
            If `n_epochs` is no integer.
        """
        if n_epochs is not None:
            check_count(n_epochs, "n_epochs")
        with unchanged_on_failure(self):
            first = not self.__sklearn_is_fitted__()
            dataset = self._check_training(X, y, classes=classes, first=first)
            self._stream(dataset, n_epochs, first=first)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._projection()(block)

    def _projection(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        return self.net_.encoder()

    def _encoding_state(self) -> Any:
        return self.net_.module_.eval()

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        refuse_loader(X)
        if isinstance(X, Dataset):
            X = dataset_as_array(X)
        if isinstance(X, (DatasetArray, StreamArray)):
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)
            if len(X.shape) > 2 and not self._takes_rows_of_any_rank(reset):
                raise ValueError(
                    "A dataset must have vectors of features as items, got items of "
                    f"shape {X.shape[1:]}; a backbone takes those."
                )
        else:
            X = super()._check_X(X, reset=reset)
        if reset:
            self._row_shape = X.shape[1:]
        elif X.shape[1:] != self._row_shape:
            raise ValueError(
                f"X must have rows of shape {self._row_shape}, as in the fit, got "
                f"{X.shape[1:]}."
            )
        return X

    def _takes_rows_of_any_rank(self, unfitted: bool) -> bool:
        if unfitted:
            return self.backbone is not None
        return isinstance(self.net_.module_, BackboneHead)

    def _check_training(
        self, X: Any, y: Any, *, classes: Any, first: bool
    ) -> TrainingRows:
        """Check the input and return the rows to train on."""
        X, y = labels_apart(X, y)
        refuse_missing_y(self, y)
        X = self._check_X(X, reset=first)
        check_same_length(X=X, y=y)
        targets = encode_targets(y, classes=classes if first else self._known_classes())
        if not first:
            self._check_same_classes(targets, classes)
        rows = labelled_rows(self, targets)
        return self._rows_of(X, targets.take(rows), rows)

    def _rows_of(
        self, X: Any, targets: Targets, rows: NDArray[np.intp]
    ) -> TrainingRows:
        kind = StreamedRows if isinstance(X, StreamArray) else TrainingRows
        return kind(X, targets, rows)

    def _check_learnable(self, targets: Targets) -> None:
        refuse_what_tells_nothing_apart(
            targets, by_similarity=self._learns_by_similarity
        )

    def _known_classes(self) -> NDArray[Any]:
        return self.classes_

    def _check_same_classes(self, targets: Targets, classes: Any) -> None:
        if targets.multilabel != self._multilabel:
            raise ValueError(
                "y must be labels of the kind that this hasher was fitted with: "
                f"{'a label indicator' if self._multilabel else 'a vector of classes'}."
            )
        if classes is None:
            return
        classes = np.asarray(classes)
        if not self._multilabel:
            classes = np.unique(classes)
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes={classes.tolist()} is not what the first call of partial_fit "
                f"fixed: {self.classes_.tolist()}."
            )

    @property
    def _goes_on(self) -> bool:
        return self.warm_start and self.__sklearn_is_fitted__()

    def _train(self, dataset: TrainingRows, X: Any, y: Any) -> None:
        """Train on some rows of `X` and `y`, and become the fitted hasher."""
        from sklhash.hashers.fitting import fit_net

        net, targets = fit_net(self, dataset, X, y)
        self._take(net, targets, int(self.n_bits))

    def _stream(
        self, dataset: TrainingRows, n_epochs: int | None, *, first: bool
    ) -> None:
        """Train on a chunk, and become the fitted hasher."""
        from sklhash.hashers.fitting import stream_net

        net = stream_net(self, dataset, n_epochs or self.max_epochs, first=first)
        self._take(net, dataset.targets, int(self.n_bits) if first else self.n_bits_)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the processes, and store a backbone's weights alike everywhere."""
        backbone = self.backbone
        if isinstance(backbone, nn.Module):
            backbone = with_stored_tensors(backbone)
        changed = {"backbone": backbone, **dict.fromkeys(self._not_stored)}
        return super().__getstate__() | changed

    def _fitted_state(self) -> dict[str, Any]:
        from sklhash.training.storing import stored_net

        derived = self._attributes_of(self.net_)
        state = super()._fitted_state()
        learnt = {name: v for name, v in state.items() if name not in derived}
        return {**learnt, "net": stored_net(self.net_)}

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        from sklhash.hashers.storing import check_net
        from sklhash.training.storing import net_of

        net = net_of(state.pop("net"), device)
        super()._take_fitted_state(state, device=device, others=others)
        self._row_shape = tuple(self._row_shape)
        check_net(self, net, others=others)
        for name, value in self._attributes_of(net).items():
            setattr(self, name, value)

    def _module_types(self) -> set[type]:
        from sklhash.hashers.storing import types_of_modules

        return types_of_modules(self)

    def _take(self, net: HashingNet, targets: Targets | Pairs, n_bits: int) -> None:
        """Become the fitted hasher that the trained net makes."""
        for name in {"classes_", "_multilabel"} & vars(self).keys():
            delattr(self, name)
        for name, value in self._fitted_attributes(net, targets, n_bits).items():
            setattr(self, name, value)

    def _fitted_attributes(
        self, net: HashingNet, targets: Targets | Pairs, n_bits: int
    ) -> dict[str, Any]:
        return {
            "n_bits_": n_bits,
            **self._attributes_of(net),
            **self._class_attributes(targets),
        }

    def _attributes_of(self, net: HashingNet) -> dict[str, Any]:
        history = net.epochs()
        return {
            "net_": net,
            "history_": history,
            "loss_curve_": [epoch["loss"] for epoch in history],
            "n_iter_": len(history),
        }

    def _class_attributes(self, targets: Any) -> dict[str, Any]:
        return {"classes_": targets.classes, "_multilabel": targets.multilabel}


def labels_apart(X: Any, y: Any) -> tuple[Any, Any]:
    """Return features and labels, where a dataset has both."""
    refuse_loader(X)
    if not isinstance(X, Dataset):
        return X, y
    X = dataset_as_array(X)
    labels = X.labels()
    if y is None:
        return X, labels
    if labels is not None:
        raise ValueError(
            f"y must be None where X is a dataset that yields (x, y), got "
            f"{type(y).__name__}."
        )
    if isinstance(X, StreamArray):
        raise ValueError(
            "y must be None where X is an iterable dataset, whose items may come in "
            "another order each time: let it yield (x, y)."
        )
    return X, y


document_what_is_shared(DeepHasher)
