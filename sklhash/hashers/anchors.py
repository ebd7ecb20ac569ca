"""AnchorHasher: what hashers on kernels to anchors, learnt from labels, share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklhash._fitting import unchanged_on_failure
from sklhash._state import Checks, array_of, list_of, not_empty, number, positive, whole
from sklhash._validation import Interval, check_same_length
from sklhash.hashers.base import BaseHasher, draw_seed
from sklhash.hashers.supervision import (
    labelled_rows,
    refuse_missing_y,
    refuse_what_tells_nothing_apart,
)
from sklhash.targets import Targets, encode_targets
from sklhash.training.blocks import float32_rows
from sklhash.training.heads import rowwise_linear

__all__ = ["AnchorHasher"]

BLOCK_ROWS = 1024


class AnchorHasher(BaseHasher):
    r"""Base of hashers that are linear in the kernels of a row to some anchors.

    The anchors :math:`a_j` are training rows, and the kernels are

    .. math:: k_j(x) = e^{-\gamma |x - a_j|^2} ,

    less their means over the training rows. A subclass learns, in `_learn`, how to
    project them on the bits.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    n_anchors : int, default=1000
        Number of anchors; all training rows, if there are fewer.

    gamma : float or "scale", default="scale"
        Width of the kernels.

    max_samples : int or None, default=None
        Most rows learnt from.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of what is drawn.
    """

    n_anchors: int = 1000
    gamma: float | str = "scale"
    max_samples: int | None = None
    random_state: int | np.random.RandomState | None = None

    _learns_by_similarity: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "n_anchors": [Interval(Integral, 1, None, closed="left")],
        "gamma": [StrOptions({"scale"}), Interval(Real, 0, None, closed="neither")],
        "max_samples": [Interval(Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "classes_": array_of("biufUOT", "n_classes"),
        "center_": array_of("f8", "n_features"),
        "gamma_": positive,
        "_anchors": not_empty(array_of("f4", "n_anchors", "n_features")),
        "_anchor_squares": array_of("f4", "n_anchors"),
        "kernel_mean_": array_of("f8", "n_anchors"),
        "projection_": array_of("f4", "n_anchors", "n_bits"),
        "loss_curve_": list_of(number),
        "n_iter_": whole(),
    }

    @abstractmethod
    def _learn(
        self, kernels: NDArray[np.float32], targets: Targets, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the projection, (n_anchors, n_bits), that turns kernels into bits.

        Parameters
        ----------
        kernels : ndarray of shape (n_samples, n_anchors), dtype=float32
            Kernels of the training rows, of mean zero.

        targets : Targets
            Labels of the training rows.

        rng : numpy.random.Generator
            Source of what is drawn.
        """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the anchors and learn the projection from labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. Of memory-mapped ones, only the training rows are read.

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
            refuse_missing_y(self, y)
            X = self._check_X(X, reset=True)
            check_same_length(X=X, y=y)
            targets = encode_targets(y)
            rng = np.random.default_rng(draw_seed(self.random_state))
            rows = labelled_rows(self, targets)
            rows = self._sample(rows, targets, rng)
            refuse_what_tells_nothing_apart(
                targets.take(rows), by_similarity=self._learns_by_similarity
            )
            self.n_bits_ = int(self.n_bits)
            self.classes_ = targets.classes
            self._place_anchors(X, rows, rng)
            kernels = np.concatenate([self._kernels(b) for b in _row_blocks(X, rows)])
            self.kernel_mean_ = kernels.mean(axis=0, dtype=np.float64)
            kernels -= self.kernel_mean_.astype(np.float32)
            self.projection_ = self._learn(kernels, targets.take(rows), rng)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags

    def _sample(
        self, rows: NDArray[np.intp], targets: Targets, rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """Choose `max_samples` of the rows, those of rare labels more probably."""
        if self.max_samples is None or len(rows) <= self.max_samples:
            return rows
        labels = targets.labels[rows]
        weights = labels @ (1 / np.maximum(labels.sum(axis=0), 1)).astype(np.float64)
        chosen = rng.choice(
            len(rows), self.max_samples, replace=False, p=weights / weights.sum()
        )
        return rows[np.sort(chosen)]

    def _place_anchors(
        self, X: Any, rows: NDArray[np.intp], rng: np.random.Generator
    ) -> None:
        n_anchors = min(self.n_anchors, len(rows))
        chosen = rng.choice(len(rows), n_anchors, replace=False)
        anchors = float32_rows(X, rows[np.sort(chosen)])
        self.center_ = anchors.mean(axis=0, dtype=np.float64)
        if self.gamma == "scale":
            squares = sum(
                np.square(block - self.center_).sum() for block in _row_blocks(X, rows)
            )
            self.gamma_ = float(len(rows) / squares) if squares > 0 else 1.0
        else:
            self.gamma_ = float(self.gamma)
        self._anchors = self._scaled(anchors)
        self._anchor_squares = np.square(self._anchors).sum(axis=1)

    @property
    def anchors_(self) -> NDArray[np.float32]:
        """The anchors, (n_anchors, n_features)."""
        check_is_fitted(self)
        anchors = self._anchors / self.gamma_**0.5 + self.center_
        return anchors.astype(np.float32)

    def _kernels(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the kernels of rows to the anchors, whatever their place in the block.

        Near the anchors' mean and with gamma taken into the features, the expanded
        squares lose no digits that matter.
        """
        x = self._scaled(block)
        products = _times(x, self._anchors)
        np.square(x, out=x)
        squares = _times(x, np.ones((1, x.shape[1]), dtype=np.float32))
        return np.exp(np.minimum(2 * products - self._anchor_squares - squares, 0))

    def _scaled(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            centred = block - self.center_.astype(np.float32)
            centred *= np.float32(self.gamma_**0.5)
        # So far away all kernels are 0, and squares are finite.
        return np.clip(centred, -1e15, 1e15, out=centred)

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        kernels = self._kernels(block) - self.kernel_mean_.astype(np.float32)
        return _times(kernels, self.projection_.T)


def _times(
    block: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``block @ weight.T``, of which a row does not depend on its place."""
    writeable = np.require(weight, requirements=["C", "W"])
    return rowwise_linear(torch.from_numpy(block), torch.from_numpy(writeable)).numpy()


def _row_blocks(X: Any, rows: NDArray[np.intp]) -> Iterator[NDArray[np.float32]]:
    """Walk over the features of some rows."""
    for batch in gen_batches(len(rows), BLOCK_ROWS):
        yield float32_rows(X, rows[batch])
