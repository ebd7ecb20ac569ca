"""DeepHasher: a head and a loss, trained by skorch, behind fit and transform."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from sklhash._fitting import unchanged_on_failure
from sklhash.hashers.base import BaseHasher, draw_seed
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.shared_docs import document_what_is_shared
from sklhash.hashers.supervision import (
    labelled_rows,
    refuse_missing_y,
    refuse_what_tells_nothing_apart,
)
from sklhash.pairs import Pairs
from sklhash.targets import Targets, encode_targets
from sklhash.training.augment import (
    AUGMENTATIONS,
    FeatureAugmentation,
    make_augmentation,
)
from sklhash.training.batches import ShuffledBatches, TrainingRows
from sklhash.training.heads import HashHead
from sklhash.training.recipes import lr_factor, optimizer_params, resolve_device

if TYPE_CHECKING:
    from sklhash.training.net import HashingNet

__all__ = ["DeepHasher", "HashLoss"]


class DeepHasher(BaseHasher):
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

    hidden_layer_sizes: Sequence[int] = ()
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = None
    max_epochs: int = 50
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.0
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam"
    lr_schedule: str | Callable[[int, int], float] | None = None
    callbacks: Sequence[Any] | None = None
    device: str | torch.device = "auto"
    net_params: dict[str, Any] | None = None
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    _supports_partial_fit: ClassVar[bool] = True
    _learns_by_similarity: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
        "augment": [StrOptions({*AUGMENTATIONS}), FeatureAugmentation, callable, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions({"adam", "adamw", "sgd"}), callable],
        "lr_schedule": [StrOptions({"step", "cosine"}), callable, None],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        document_what_is_shared(cls)

    @abstractmethod
    def _make_loss(self, targets: Any) -> HashLoss:
        """Return the method's loss for these targets."""

    def _make_head(self, n_features: int) -> HashHead:
        """Return the method's head, a `HashHead` or an instance of a subclass of it."""
        return HashHead(n_features, self.n_bits, self.hidden_layer_sizes)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn codes from labelled features.

        If it fails or is interrupted, the hasher is as it was before.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels)
            Class labels, or a label indicator of zeros and ones. Rows without a label
            are left out with a warning.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If a parameter is out of range, `X` or `y` is malformed, or fewer than two
            rows or two classes are left to learn from.
        """
        with unchanged_on_failure(self):
            dataset = self._check_training(X, y, classes=None, first=True)
            self._check_learnable(dataset.targets)
            self._train(dataset)
        return self

    @available_if(lambda self: self._supports_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Train for one pass over a chunk of rows.

        The first call, on a hasher that was not fitted, fixes the classes, the scale of
        the features and what the method draws for a fit; later calls go on from there.
        The learning rate is `lr` throughout, since `lr_schedule` is for :meth:`fit`;
        changes of other parameters wait for the next fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels)
            Labels, all among the classes.

        classes : array-like of shape (n_classes,), default=None
            All classes that may come or, with a label indicator, the names of its
            columns. None takes those of the first call. Later calls may repeat it.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If `y` has labels that are not among the classes, or `classes` are not
            those of the first call.
        """
        with unchanged_on_failure(self):
            first = not self.__sklearn_is_fitted__()
            dataset = self._check_training(X, y, classes=classes, first=first)
            net = self._make_net(dataset) if first else copy.deepcopy(self.net_)
            net.train_on(dataset, lr=self.lr)
            self._take(net, dataset.targets, self.n_bits if first else self.n_bits_)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.net_.project(block, self.net_.module_)

    def _check_training(
        self, X: Any, y: Any, *, classes: Any, first: bool
    ) -> TrainingRows:
        """Check the input and return the rows to train on."""
        refuse_missing_y(self, y)
        X = self._check_X(X, reset=first)
        check_consistent_length(X, y)
        targets = encode_targets(y, classes=classes if first else self._known_classes())
        if not first:
            self._check_same_classes(targets, classes)
        rows = labelled_rows(self, targets, stacklevel=4)
        return TrainingRows(X, targets.take(rows), rows)

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

    def _make_net(self, dataset: TrainingRows) -> HashingNet:
        """Build head, loss and net for a fit."""
        from sklhash.training.net import HashingNet

        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        head = self._make_head(self.n_features_in_)
        loss = self._make_loss(dataset.targets)
        for made, wanted in ((head, HashHead), (loss, HashLoss)):
            if not isinstance(made, wanted):
                raise TypeError(
                    f"{type(self).__name__} must make a {wanted.__name__}, got "
                    f"{type(made).__name__}."
                )
        head.reset_parameters(generator)
        head.standardize.learn(dataset.blocks())
        loss.on_fit_begin(dataset.targets, self.n_bits, generator)
        named = {
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "lr_factor": lr_factor(self.lr_schedule),
            "augmentation": make_augmentation(self.augment, generator),
            "callbacks": None if self.callbacks is None else list(self.callbacks),
            "iterator_train": ShuffledBatches,
            "iterator_train__generator": generator,
            "device": resolve_device(self.device),
            "verbose": self.verbose,
            **optimizer_params(self.optimizer, self.weight_decay),
        }
        _check_net_params(self.net_params or {}, named)
        return HashingNet(head, loss, **{**named, **(self.net_params or {})})

    def _train(self, dataset: TrainingRows) -> None:
        """Train from the start and become the fitted hasher."""
        net = self._make_net(dataset)
        net.fit(dataset)
        self._take(net, dataset.targets, self.n_bits)

    def _take(self, net: HashingNet, targets: Targets | Pairs, n_bits: int) -> None:
        """Become the fitted hasher that the trained net makes."""
        self.net_ = net
        self.n_bits_ = n_bits
        self._take_classes(targets)
        self.history_ = net.epochs()
        self.loss_curve_ = [epoch["loss"] for epoch in self.history_]
        self.n_iter_ = len(self.history_)

    def _take_classes(self, targets: Any) -> None:
        self.classes_ = targets.classes
        self._multilabel = targets.multilabel


def _check_net_params(net_params: dict[str, Any], named: dict[str, Any]) -> None:
    """Refuse what would undo a setting of the hasher or the parts it is made of."""
    parts = {"module", "criterion", "dataset", "iterator_train", "train_split"}
    settled = {*named, "optimizer__lr", "warm_start"} - {"optimizer__momentum"}
    taken = [
        name
        for name in net_params
        if name in settled or name.partition("__")[0] in parts
    ]
    if taken:
        raise ValueError(
            f"net_params must not hold {taken}, which the hasher sets itself; use its "
            "own parameters."
        )


document_what_is_shared(DeepHasher)
