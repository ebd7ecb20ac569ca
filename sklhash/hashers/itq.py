"""ITQ: principal components, rotated so that their signs lose least."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from sklearn.base import _fit_context
from sklearn.utils import gen_batches

from sklhash._fitting import unchanged_on_failure
from sklhash._state import Checks, array_of, list_of, number, whole
from sklhash._validation import Interval
from sklhash.hashers.base import BaseHasher, draw_seed
from sklhash.hashers.principal import Moments, principal_directions, project_on
from sklhash.training.heads import rowwise_linear

__all__ = ["ITQ"]

BLOCK_ROWS = 4096


class ITQ(BaseHasher):
    r"""Iterative quantisation: principal components under the best rotation.

    The rows, centred, are projected on the first principal directions,
    :math:`V = X W^\top`. A rotation of :math:`V` loses nothing, so the one is sought
    whose signs lose least [1]_:

    .. math::
        Q(B, R) = |B - V R|^2, \qquad B \in \{-1, 1\}^{n \times K}, \quad
        R^\top R = I ,

    by two steps in turn, both exact: :math:`B = \operatorname{sgn}(V R)`, and the
    orthogonal Procrustes problem :math:`R = U \tilde U^\top` with :math:`V^\top B = U S
    \tilde U^\top`. Bit :math:`j` is one where :math:`(v R)_j > 0`. Labels are not used.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code. Where there are fewer principal directions, zeros
        stand for the missing ones: the rotation then turns them into a frame.

    max_iter : int, default=50
        Most rotations, each after the first at random. It ends before where another one
        gains nothing.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of the rotation to begin with. An int makes it reproducible.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features), dtype=float32
        The principal directions, at most `n_bits`, by falling variance; the largest
        entry of each is positive.

    mean_ : ndarray of shape (n_features,), dtype=float64
        Mean of the data.

    rotation_ : ndarray of shape (n_bits, n_bits), dtype=float64
        The orthogonal matrix :math:`R`. Its first rows meet `components_`.

    loss_curve_ : list of float
        :math:`Q` after each rotation, with the signs that belong to it. It falls.

    n_iter_ : int
        Number of rotations.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    PCAH : The components without a rotation.

    Notes
    -----
    The rows are read some at a time; their components are kept, in float32.

    References
    ----------
    .. [1] Y. Gong and S. Lazebnik. Iterative quantization: a Procrustean approach to
       learning binary codes. CVPR 2011, equation 2 and section 2.2.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import ITQ
    >>> X, y = load_digits(return_X_y=True)
    >>> itq = ITQ(n_bits=32, random_state=0).fit(X)
    >>> itq.transform(X).shape
    (1797, 32)
    >>> itq.loss_curve_[-1] < itq.loss_curve_[0]
    True
    """

    max_iter: int = 50
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHasher._parameter_constraints,
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    _fitted: ClassVar[Checks] = {
        **BaseHasher._fitted,
        "components_": array_of("f4", "n_components", "n_features"),
        "mean_": array_of("f8", "n_features"),
        "rotation_": array_of("f8", "n_bits", "n_bits"),
        "loss_curve_": list_of(number),
        "n_iter_": whole(),
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the principal directions and their rotation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : ITQ
            The fitted hasher.
        """
        with unchanged_on_failure(self):
            X = self._check_X(X, reset=True)
            self.n_bits_ = int(self.n_bits)
            moments = Moments.of_nothing(X.shape[1]).with_rows(X, self.n_bits_)
            self.mean_ = moments.mean
            self.components_ = principal_directions(moments, self.n_bits_)
            self._rotate(self._coordinates_of(X))
        return self

    def _coordinates_of(self, X: Any) -> NDArray[np.float32]:
        V = np.empty((X.shape[0], len(self.components_)), dtype=np.float32)
        for rows, block in self._blocks(X):
            V[rows] = project_on(self.components_, self.mean_, block).numpy()
        return V

    def _rotate(self, V: NDArray[np.float32]) -> None:
        """Find the rotation, which begins at random."""
        rng = np.random.default_rng(draw_seed(self.random_state))
        R = linalg.qr(rng.standard_normal((self.n_bits_, self.n_bits_)))[0]
        _, hits = quantisation(V, R)
        self.loss_curve_: list[float] = []
        for _ in range(self.max_iter):
            R = closest_rotation(hits)
            loss, hits = quantisation(V, R)
            if self.loss_curve_ and loss >= self.loss_curve_[-1]:
                break
            self.rotation_ = R
            self.loss_curve_.append(loss)
        self.n_iter_ = len(self.loss_curve_)

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        super()._take_fitted_state(state, device=device, others=others)
        if len(self.components_) > self.n_bits_:
            raise ValueError(
                f"components_ of ITQ must be at most {self.n_bits_}, got "
                f"{len(self.components_)}."
            )

    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        coordinates = project_on(self.components_, self.mean_, block)
        turn = self.rotation_[: len(self.components_)].T.astype(np.float32, order="C")
        return rowwise_linear(coordinates, torch.from_numpy(turn)).numpy()


def quantisation(
    V: NDArray[np.float32], R: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Quantise rotated rows, some at a time and in float64.

    Parameters
    ----------
    V : ndarray of shape (n_samples, n_components), dtype=float32
        Rows, to be filled up with zeros if the rotation is wider.

    R : ndarray of shape (n_bits, n_bits), dtype=float64
        Rotation.

    Returns
    -------
    loss : float
        ``|B - V @ R|^2`` with ``B`` the signs of ``V @ R``.

    hits : ndarray of shape (n_bits, n_bits), dtype=float64
        ``V.T @ B``.
    """
    loss, hits = 0.0, np.zeros_like(R)
    n_components = V.shape[1]
    for rows in gen_batches(len(V), BLOCK_ROWS):
        v = V[rows].astype(np.float64)
        values = v @ R[:n_components]
        signs = np.where(values > 0, 1.0, -1.0)
        hits[:n_components] += v.T @ signs
        loss += float(np.square(signs - values).sum())
    return loss, hits


def closest_rotation(hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the orthogonal Procrustes problem: maximise ``sum(R * hits)``."""
    U, _, Vt = linalg.svd(hits)
    return U @ Vt
