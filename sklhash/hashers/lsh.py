"""LSH: signs of random projections, the baseline that learns nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils._param_validation import StrOptions

from sklhash._fitting import unchanged_on_failure
from sklhash._state import Checks, array_of, whole
from sklhash.hashers.base import BaseHasher, draw_seed
from sklhash.training.heads import rowwise_linear

__all__ = ["LSH"]


class LSH(BaseHasher):
    r"""Locality-sensitive hashing by signs of random projections.

    Bit :math:`j` of a row :math:`x` is one where :math:`w_j \cdot (x - c) > 0`, with
    :math:`w_j` drawn from a standard normal distribution. Two rows at angle
    :math:`\theta`, seen from the origin :math:`c`, differ in a bit with probability
    :math:`\theta / \pi` [1]_. Labels are not used.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    center : {"mean", "origin"}, default="mean"
        Where the hyperplanes pass through: the mean of the data, or the origin. Through
        the mean they cut the data in halves; through the origin the codes estimate
        the cosine.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of the projections. An int makes them reproducible.

    Attributes
    ----------
    components_ : ndarray of shape (n_bits, n_features), dtype=float32
        The projections.

    center_ : ndarray of shape (n_features,), dtype=float64
        The point that the hyperplanes pass through.

    n_samples_seen_ : int
        Number of rows that `center_` was learnt from.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    OrthoHash : Learns the projections from labels.

    References
    ----------
    .. [1] M. S. Charikar. Similarity estimation techniques from rounding algorithms.
       STOC 2002, section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> X, y = load_digits(return_X_y=True)
    >>> codes = LSH(n_bits=32, random_state=0).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((1797, 32), dtype('uint8'))
    """

    center: str = "mean"
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "center": [StrOptions({"mean", "origin"})],
        "random_state": ["random_state"],
    }

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "components_": array_of("f4", "n_bits", "n_features"),
        "center_": array_of("f8", "n_features"),
        "n_samples_seen_": whole(),
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the projections and learn the centre.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : LSH
            The fitted hasher.
        """
        with unchanged_on_failure(self):
            self._learn(X, first=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Move the centre to the mean of all rows so far.

        The projections are drawn at the first call and stay. With ``center="origin"``
        nothing changes after it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : LSH
            The fitted hasher.
        """
        with unchanged_on_failure(self):
            self._learn(X, first=not self.__sklearn_is_fitted__())
        return self

    def _learn(self, X: Any, *, first: bool) -> None:
        X = self._check_X(X, reset=first)
        if first:
            rng = np.random.default_rng(draw_seed(self.random_state))
            self.n_bits_ = int(self.n_bits)
            self.components_ = rng.standard_normal(
                (self.n_bits_, X.shape[1]), dtype=np.float32
            )
            self.center_ = np.zeros(X.shape[1])
            self.n_samples_seen_ = 0
        total = np.zeros(X.shape[1])
        for _, block in self._blocks(X):
            total += block.sum(axis=0, dtype=np.float64)
        n_seen = self.n_samples_seen_ + X.shape[0]
        if self.center == "mean":
            self.center_ = (self.center_ * self.n_samples_seen_ + total) / n_seen
        self.n_samples_seen_ = n_seen

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = torch.from_numpy(block - self.center_.astype(np.float32))
        components = np.require(self.components_, requirements=["W"])
        return rowwise_linear(centred, torch.from_numpy(components)).numpy()
