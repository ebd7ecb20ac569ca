"""PCAH: signs of principal components."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context

from sklhash._fitting import unchanged_on_failure
from sklhash._state import Checks, array_of, fields, size, whole
from sklhash.hashers.base import BaseHasher, draw_seed
from sklhash.hashers.principal import Moments, principal_directions, project_on

__all__ = ["PCAH"]


class PCAH(BaseHasher):
    r"""Hashing by signs of principal components.

    Bit :math:`j` of a row :math:`x` is one where :math:`w_j \cdot (x - \bar x) > 0`,
    with :math:`w_j` the eigenvector of the :math:`j`-th largest eigenvalue of the
    covariance matrix [1]_: of all orthogonal directions these have the largest variance

    .. math::
        \max_W \operatorname{tr} W X^\top X W^\top
        \quad \text{subject to} \quad W W^\top = I ,

    with :math:`X` centred. Labels are not used.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code. Where the centred data has a lower rank, the bits
        beyond it are signs of random directions in the span of the components.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of the random directions, where there are any. An int makes them
        reproducible.

    Attributes
    ----------
    components_ : ndarray of shape (n_bits, n_features), dtype=float32
        The directions, of length 1: the principal ones by falling variance, the
        largest entry of each positive, then the random ones.

    mean_ : ndarray of shape (n_features,), dtype=float64
        Mean of the data.

    n_components_ : int
        Number of principal directions among `components_`.

    n_samples_seen_ : int
        Number of rows that this was learnt from.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    ITQ : Rotates the components, so that the bits lose less.
    LSH : Random directions, which learn nothing.

    Notes
    -----
    The rows are read some at a time. :meth:`partial_fit` leads to what :meth:`fit`
    learns from all rows at once, up to rounding; only with more than some 5,800
    features are the smallest directions forgotten on the way, as by
    :class:`sklearn.decomposition.IncrementalPCA`.
    The first components carry most of the variance but count no more than the last:
    with long codes :class:`ITQ` does better.

    References
    ----------
    .. [1] J. Wang, S. Kumar and S.-F. Chang. Semi-supervised hashing for scalable image
       retrieval. CVPR 2010, equation 8 without labels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import PCAH
    >>> X, y = load_digits(return_X_y=True)
    >>> codes = PCAH(n_bits=32).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((1797, 32), dtype('uint8'))
    """

    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "random_state": ["random_state"],
    }

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "n_components_": size("n_components"),
        "components_": array_of("f4", "n_bits", "n_features"),
        "mean_": array_of("f8", "n_features"),
        "n_samples_seen_": whole(),
        "_seed": whole(),
        "_moments": fields(
            n_rows=whole(),
            mean=array_of("f8", "n_features"),
            root=array_of("f8", "n_kept", "n_features"),
        ),
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the principal components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : PCAH
            The fitted hasher. A UserWarning tells if bits are random.
        """
        with unchanged_on_failure(self):
            self._learn(X, first=True)
            self._warn_of_random_bits(self.n_components_)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Find the principal components of all rows so far.

        A chunk may have any number of rows. While there are too few for as many
        components as bits, the last bits are random.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : PCAH
            The fitted hasher. A UserWarning of the first call tells if bits will be
            random for good, since there are fewer features.
        """
        with unchanged_on_failure(self):
            first = not self.__sklearn_is_fitted__()
            self._learn(X, first=first)
            if first:
                self._warn_of_random_bits(self.n_features_in_)
        return self

    def _learn(self, X: Any, *, first: bool) -> None:
        X = self._check_X(X, reset=first)
        if first:
            self.n_bits_ = int(self.n_bits)
            self._seed = draw_seed(self.random_state)
            self._moments = Moments.of_nothing(X.shape[1])
        self._moments = self._moments.with_rows(X, self.n_bits_)
        directions = principal_directions(self._moments, self.n_bits_)
        self.n_samples_seen_ = self._moments.n_rows
        self.mean_ = self._moments.mean
        self.n_components_ = len(directions)
        self.components_ = np.concatenate([directions, self._random_among(directions)])

    def _random_among(self, directions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Draw unit vectors in the span of `directions`, as many as bits are left."""
        rng = np.random.default_rng(self._seed)
        n_missing = self.n_bits_ - len(directions)
        drawn = rng.standard_normal((n_missing, len(directions)), dtype=np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn @ directions

    def _warn_of_random_bits(self, n_components: int) -> None:
        if n_components < self.n_bits_:
            warnings.warn(
                f"n_bits={self.n_bits_}, but the data has {n_components} principal "
                "components at most: the other bits are signs of random directions "
                "among them.",
                UserWarning,
                stacklevel=4,
            )

    def _fitted_state(self) -> dict[str, Any]:
        state = super()._fitted_state()
        return state | {"_moments": state["_moments"]._asdict()}

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        super()._take_fitted_state(state, device=device, others=others)
        self._moments = Moments(**state["_moments"])

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        return project_on(self.components_, self.mean_, block).numpy()
