"""KSH: one bit after the other from the labels of pairs, on kernels to anchors."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, sparse

from sklhash._validation import Interval
from sklhash.hashers.anchors import AnchorHasher
from sklhash.targets import Targets

__all__ = ["KSH"]


class KSH(AnchorHasher):
    r"""Supervised hashing with kernels.

    The kernels of a row to :math:`m` anchors, which are training rows,

    .. math:: k_j(x) = e^{-\gamma |x - a_j|^2} ,

    less their means :math:`\mu_j`, are projected on the bits: bit :math:`t` is one
    where :math:`a_t \cdot (k(x) - \mu) > 0`. For :math:`n` training rows with codes
    :math:`H \in \{-1, 1\}^{n \times r}`, and with :math:`s_{ij}` 1 for rows that share
    a label and -1 for others, the inner products of codes are to be labels of pairs
    [1]_:

    .. math:: \min_A \left| \tfrac{1}{r} H H^\top - S \right|^2 .

    The bits are learnt one after the other, each from what the ones before have left,
    :math:`R_t = r S - \sum_{u < t} h_u h_u^\top`: :math:`a_t` is to make
    :math:`h_t^\top R_t h_t` large. It begins at the eigenvector of the largest
    eigenvalue of

    .. math::
        \bar K^\top R_t \bar K a = \lambda (\bar K^\top \bar K + \alpha n I) a

    and is then refined by L-BFGS on :math:`-\phi^\top R_t \phi`, where :math:`\phi =
    \tanh(\bar K a / 2)` stands for the signs. The better one of both stays.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code, :math:`r`.

    penalty : float, default=0.001
        Ridge :math:`\alpha` that keeps the projections small, positive.

    max_iter : int, default=20
        Most steps of the refinement of a bit; 0 leaves the eigenvectors as they are.

    n_anchors : int, default=1000
        Number of anchors, drawn from the training rows; all of them, if there are
        fewer.

    gamma : float or "scale", default="scale"
        The positive :math:`\gamma` of the kernels. "scale" is one over the mean squared
        distance of the training rows to the mean of the anchors, which makes the scale
        of the features irrelevant. For centred features it is the "scale" of
        scikit-learn.

    max_samples : int or None, default=5000
        Most rows learnt from. If there are more with a label, so many are drawn, those
        of rare labels more probably, so that classes have similar numbers of rows.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of the anchors and of the rows learnt from. An int makes them
        reproducible.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_anchors, n_features), dtype=float32
        The anchors, up to rounding.

    center_ : ndarray of shape (n_features,), dtype=float64
        Mean of the anchors, which features are measured from.

    gamma_ : float
        The :math:`\gamma` in use.

    kernel_mean_ : ndarray of shape (n_anchors,), dtype=float64
        Mean of the kernels over the training rows, :math:`\mu`.

    projection_ : ndarray of shape (n_anchors, n_bits), dtype=float32
        The projections :math:`a_t`, one a column.

    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.

    loss_curve_ : list of float
        After bit :math:`t`, the mean over the pairs of
        :math:`(s_{ij} - \sum_{u \le t} h_{ui} h_{uj} / r)^2`.

    n_iter_ : int
        Most steps that the refinement of a bit took.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    SDH : All bits at once, from classes instead of pairs.

    Notes
    -----
    The matrix :math:`S` is never formed: rows with the same labels have the same row of
    it. The time of a fit grows with the number of rows learnt from, of anchors and of
    bits; memory is 20 `n_anchors` bytes a row and, for G different sets of labels,
    16 G² bytes. The paper refines by Nesterov's gradient method and has no ridge, which
    helps with a thousand anchors.
    The defaults were chosen on held-out parts of the training rows of four sets of
    features (CIFAR-10, Fashion-MNIST, 20 Newsgroups, Corel5K) at 32 bits.

    References
    ----------
    .. [1] W. Liu, J. Wang, R. Ji, Y.-G. Jiang and S.-F. Chang. Supervised hashing with
       kernels. CVPR 2012, equations 6 to 15.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import KSH, HammingNeighbors
    >>> X, X_query, y, y_query = train_test_split(
    ...     *load_digits(return_X_y=True), test_size=300, random_state=0)
    >>> ksh = KSH(16, n_anchors=200, random_state=0)
    >>> search = make_pipeline(ksh, HammingNeighbors())
    >>> bool(search.fit(X, y).score(X_query, y_query) > 0.9)
    True
    """

    penalty: float = 1e-3
    max_iter: int = 20
    max_samples: int | None = 5000

    _learns_by_similarity: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **AnchorHasher._parameter_constraints,
        "penalty": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
    }

    def _learn(
        self, kernels: NDArray[np.float32], targets: Targets, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        # In float32 the rounding of BLAS, which changes with the number of its threads,
        # would grow on the way from bit to bit and change the codes.
        exact = kernels.astype(np.float64)
        whitening = whitening_of(exact, self.penalty)
        white = exact @ whitening
        residue = Residue(targets, self.n_bits_)
        fit_matrix = white.T @ residue.times(white)
        directions = np.empty((self.n_bits_, len(whitening)))
        self.loss_curve_ = []
        self.n_iter_ = 0
        for bit in range(self.n_bits_):
            direction = largest_eigenvector(fit_matrix)
            if self.max_iter:
                refined, n_iter = refine(direction, white, residue, self.max_iter)
                self.n_iter_ = max(self.n_iter_, n_iter)
                direction = max(
                    (direction, refined), key=lambda d: residue.fit_of(signs(white @ d))
                )
            code = signs(white @ direction)
            residue.take_off(code)
            reach = code @ white
            fit_matrix -= np.outer(reach, reach)
            directions[bit] = direction
            self.loss_curve_.append(residue.mean_square)
        return (whitening @ directions.T).astype(np.float32)


class Residue:
    r"""What bits have left of the labels of pairs, :math:`r S - \sum_t h_t h_t^\top`.

    Neither it nor :math:`S` is formed: rows with the same labels have the same row of
    :math:`S`, and one row for each set of labels is kept.

    Parameters
    ----------
    targets : Targets
        Labels of the rows; :math:`s_{ij}` is 1 if they share one, else -1.

    n_bits : int
        The factor :math:`r`.
    """

    def __init__(self, targets: Targets, n_bits: int) -> None:
        n_rows = len(targets)
        sets, set_of_row = np.unique(targets.indicator(), axis=0, return_inverse=True)
        self._pair_labels = np.where(sets @ sets.T > 0, n_bits, -n_bits).astype(float)
        membership = np.ones(n_rows), (np.arange(n_rows), set_of_row)
        self._sets = sparse.csr_array(membership)  # (n_rows, n_sets)
        self._members = self._sets.T.tocsr()
        self._codes = np.zeros((0, n_rows))
        self._scale = float(n_bits * n_rows) ** 2
        self._squares = self._scale

    @property
    def mean_square(self) -> float:
        """Mean square of the entries, divided by that of ``r S``."""
        return self._squares / self._scale

    def times(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the product with a vector, or with the columns of a matrix."""
        product = self._sets @ (self._pair_labels @ (self._members @ values))
        return product - self._codes.T @ (self._codes @ values)

    def fit_of(self, code: NDArray[np.float64]) -> float:
        """Return ``code @ residue @ code``: the larger, the more the code takes off."""
        return float(code @ self.times(code))

    def take_off(self, code: NDArray[np.float64]) -> None:
        """Subtract the outer product of a code with itself."""
        self._squares += float(len(code)) ** 2 - 2 * self.fit_of(code)
        self._codes = np.concatenate([self._codes, code[None]])


def whitening_of(kernels: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return coordinates in which ``kernels.T @ kernels / n + penalty`` is a unit."""
    n_rows = len(kernels)
    values, vectors = linalg.eigh(kernels.T @ kernels / n_rows)
    return vectors / np.sqrt(np.maximum(values, 0) + penalty)


def largest_eigenvector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvector of the largest eigenvalue, its largest entry positive."""
    last = len(matrix) - 1
    vector = linalg.eigh(matrix, subset_by_index=[last, last])[1][:, 0]
    return vector * np.sign(vector[np.abs(vector).argmax()])


def refine(
    direction: NDArray[np.float64],
    white: NDArray[np.float64],
    residue: Residue,
    max_iter: int,
) -> tuple[NDArray[np.float64], int]:
    """Improve a direction by L-BFGS, with smooth signs in the place of the signs.

    Returns
    -------
    direction : ndarray of shape (n_coordinates,), dtype=float64

    n_iter : int
        Number of steps.
    """
    scale = float(len(white)) ** 2

    def loss(direction: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        smooth = np.tanh(white @ direction / 2)
        product = residue.times(smooth)
        gradient = white.T @ (product * (1 - np.square(smooth)))
        return -float(smooth @ product) / scale, -gradient / scale

    result = optimize.minimize(
        loss, direction, jac=True, method="L-BFGS-B", options={"maxiter": max_iter}
    )
    return result.x, result.nit


def signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return +1 where a value is positive, else -1."""
    return np.where(values > 0, 1.0, -1.0)
