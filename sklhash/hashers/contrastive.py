"""Learning from features alone: two augmented views of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from torch import Tensor

from sklhash._validation import check_same_length
from sklhash.hashers.deep import DeepHasher, labels_apart
from sklhash.hashers.supervision import refuse_missing_y
from sklhash.targets import Targets, encode_targets
from sklhash.training.augment import FeatureAugmentation
from sklhash.training.batches import TrainingRows

__all__ = ["ContrastiveHasher"]


class ContrastiveHasher(DeepHasher):
    """Base of deep hashers that compare two views of each row and need no labels.

    The loss of a subclass has ``n_views = 2``.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    <shared parameters>
    """

    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] = "gaussian"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DeepHasher._parameter_constraints,
        "augment": [c for c in DeepHasher._parameter_constraints["augment"] if c],
    }

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn codes from features.

        If it fails or is interrupted, the hasher is as it was before.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch Dataset} of shape \
                (n_samples, n_features)
            Features; with a `backbone` rows of any shape.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Labels that the rows kept out by `validation_fraction` are scored by. Not
            learnt from, and ignored without `validation_fraction`.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If a parameter is out of range, `X` is malformed or has a single row.
        """
        return super().fit(X, y)

    def partial_fit(
        self, X: Any, y: Any = None, *, n_epochs: int | None = None
    ) -> Self:
        """Train on a chunk of rows.

        The first call, on a hasher that was not fitted, fixes the scale of the features
        and what the method draws for a fit; later calls go on from there. Each chunk
        has `lr_schedule` to itself, from a learning rate of `lr` times its share of the
        rows so far, to the power of 1.2. `validation_fraction`, `checkpoint` and the
        callbacks of :meth:`set_callbacks` are for :meth:`fit`; changes of other
        parameters than `lr`, `lr_schedule` and `max_epochs` wait for the next one.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch Dataset} of shape \
                (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        n_epochs : int, default=None
            Number of passes over the chunk; None is `max_epochs`.

        Returns
        -------
        self : object
            The fitted hasher.
        """
        return super().partial_fit(X, n_epochs=n_epochs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.target_tags.two_d_labels = False
        return tags

    def _check_training(
        self, X: Any, y: Any, *, classes: Any, first: bool
    ) -> TrainingRows:
        if self.validation_fraction is not None:
            X, y = labels_apart(X, y)
        scores = self.validation_fraction is not None and y is not None
        X = self._check_X(X, reset=first)
        n_rows = X.shape[0]
        if n_rows < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 rows, got n_samples={n_rows}."
            )
        targets = Targets(np.arange(0), sparse.csr_array((n_rows, 0), dtype=np.float32))
        if scores:
            check_same_length(X=X, y=y)
            targets = encode_targets(y)
        return self._rows_of(X, targets, np.arange(n_rows))

    def _check_learnable(self, targets: Targets) -> None:
        """Features are enough, unless there are rows to score."""
        if self.validation_fraction is not None and targets.n_classes == 0:
            refuse_missing_y(self, None, " validation_fraction scores by labels.")

    def _class_attributes(self, targets: Any) -> dict[str, Any]:
        return {}
