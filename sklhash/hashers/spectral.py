"""Spectral hashing: eigenfunctions of the similarity along principal directions."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context

from sklhash._fitting import unchanged_on_failure
from sklhash._state import Checks, array_of
from sklhash.hashers.base import BaseHasher
from sklhash.hashers.principal import Moments, principal_directions, project_on

__all__ = ["SpectralHashing"]


class SpectralHashing(BaseHasher):
    r"""Hashing by signs of the smoothest waves along principal directions.

    Good codes of similar rows are similar, with bits that are balanced and not
    correlated. Relaxed, they are the smoothest eigenfunctions of the graph Laplacian,
    and for data spread evenly over a box those are known [1]_: along a direction on
    which the data lies between :math:`a` and :math:`b`,

    .. math::
        \Phi_k(x) = \sin\left(\frac{\pi}{2} + \frac{k \pi}{b - a} (x - a)\right),
        \qquad
        \lambda_k = 1 - e^{-\frac{\epsilon^2}{2} \left|\frac{k \pi}{b - a}\right|^2},

    with :math:`k = 1, 2, \ldots`. The directions are the first principal ones, the
    range on each is that of the training rows, and the bits are those
    :math:`\Phi_k > 0`, of all directions and :math:`k`, with the smallest
    :math:`\lambda_k`. Their order does not depend on :math:`\epsilon`. Long directions
    have several bits, which cut them in ever shorter pieces. Labels are not used.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features), dtype=float32
        The principal directions, at most `n_bits`, by falling variance; the largest
        entry of each is positive.

    mean_ : ndarray of shape (n_features,), dtype=float64
        Mean of the data.

    data_min_ : ndarray of shape (n_components,), dtype=float32
        The least value of the training rows along each direction, :math:`a`.

    data_range_ : ndarray of shape (n_components,), dtype=float32
        The length of the range, :math:`b - a`; 1 where it is 0.

    directions_ : ndarray of shape (n_bits,), dtype=int64
        The direction of each bit, a row of `components_`.

    modes_ : ndarray of shape (n_bits,), dtype=int64
        The number :math:`k` of half waves of each bit. Bits come by rising eigenvalue.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    PCAH : One bit a principal direction.
    ITQ : Does better on most data, which is not spread evenly over a box.

    Notes
    -----
    The rows are read some at a time, twice. Nothing is drawn at random.

    References
    ----------
    .. [1] Y. Weiss, A. Torralba and R. Fergus. Spectral hashing. NIPS 2008, equations 8
       and 9.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import SpectralHashing
    >>> X, y = load_digits(return_X_y=True)
    >>> codes = SpectralHashing(n_bits=32).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((1797, 32), dtype('uint8'))
    """

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "components_": array_of("f4", "n_components", "n_features"),
        "mean_": array_of("f8", "n_features"),
        "data_min_": array_of("f4", "n_components"),
        "data_range_": array_of("f4", "n_components"),
        "directions_": array_of("i8", "n_bits", below="n_components"),
        "modes_": array_of("i8", "n_bits"),
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the principal directions, the ranges on them, and the waves.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : SpectralHashing
            The fitted hasher.
        """
        with unchanged_on_failure(self):
            X = self._check_X(X, reset=True)
            self.n_bits_ = int(self.n_bits)
            moments = Moments.of_nothing(X.shape[1]).with_rows(X, self.n_bits_)
            self.mean_ = moments.mean
            self.components_ = principal_directions(moments, self.n_bits_)
            self._measure_ranges(X)
            self.directions_, self.modes_ = smoothest_waves(
                self.data_range_, self.n_bits_
            )
        return self

    def _measure_ranges(self, X: Any) -> None:
        lowest, highest = np.float32(np.inf), np.float32(-np.inf)
        for _, block in self._blocks(X):
            coordinates = self._coordinates(block)
            lowest = np.minimum(lowest, coordinates.min(axis=0))
            highest = np.maximum(highest, coordinates.max(axis=0))
        lengths = highest - lowest
        self.data_min_ = lowest
        self.data_range_ = np.where(lengths > 0, lengths, np.float32(1))

    def _coordinates(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        return project_on(self.components_, self.mean_, block).numpy()

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        half_waves = (np.pi * self.modes_).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN is refused
            within = (self._coordinates(block) - self.data_min_) / self.data_range_
            phase = within[:, self.directions_] * half_waves
            return np.cos(phase)  # sin(pi / 2 + phase)


def smoothest_waves(
    lengths: NDArray[np.float32], n_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the waves with the smallest eigenvalues, those with ``k = 0`` left out.

    Parameters
    ----------
    lengths : ndarray of shape (n_directions,), dtype=float32
        Positive.

    n_bits : int
        How many to choose.

    Returns
    -------
    directions : ndarray of shape (n_bits,), dtype=int64

    modes : ndarray of shape (n_bits,), dtype=int64
        Number of half waves, at least 1.
    """
    modes = np.arange(1, n_bits + 1)
    frequencies = modes[:, None] / lengths.astype(np.float64)
    smoothest = np.argsort(frequencies, axis=None, kind="stable")[:n_bits]
    return smoothest % len(lengths), modes[smoothest // len(lengths)]
