"""SDH: discrete codes that a linear classifier reads, on kernels to anchors."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sklhash._state import Checks, array_of
from sklhash._validation import Interval
from sklhash.hashers.anchors import AnchorHasher
from sklhash.hashers.codebooks import make_codebook
from sklhash.hashers.discrete import (
    classification_error,
    discrete_codes,
    ridge_classifier,
)
from sklhash.targets import Targets

__all__ = ["SDH"]

SIGNS = np.array([-1, 1], dtype=np.float32)


class SDH(AnchorHasher):
    r"""Supervised discrete hashing.

    The kernels of a row to :math:`m` anchors, which are training rows,

    .. math:: k_j(x) = e^{-\gamma |x - a_j|^2} ,

    less their means :math:`\mu_j`, are projected on the bits: bit :math:`t` is one
    where :math:`p_t \cdot (k(x) - \mu) > 0`. The codes :math:`B \in \{-1, 1\}^{n \times
    K}` of the training rows are to let a linear classifier :math:`W` tell the classes
    :math:`Y`, and to be near the projections :math:`F = \bar K P` [1]_:

    .. math::
        \min_{B, W, P} |Y - B W|^2 + \lambda |W|^2 + \nu \left(|B - \bar K P|^2 +
        \alpha |P|^2\right) .

    Its steps, in turn, never raise it: codes bit by bit, each bit of all rows exactly
    (discrete cyclic coordinate descent), then :math:`W` and :math:`P` by ridge
    regression.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    penalty : float, default=1.0
        Ridge :math:`\lambda` of the classifier, positive.

    embedding_weight : float, default=1e-05
        Weight :math:`\nu` of the distance between codes and projections, at least 0.

    embedding_penalty : float, default=0.1
        Ridge :math:`\alpha` of the projections, positive.

    max_iter : int, default=5
        Most rounds of the steps. They end before when no code changes.

    n_anchors : int, default=1000
        Number of anchors, drawn from the training rows; all of them, if there are
        fewer.

    gamma : float or "scale", default="scale"
        The positive :math:`\gamma` of the kernels. "scale" is one over the mean squared
        distance of the training rows to the mean of the anchors, which makes the scale
        of the features irrelevant. For centred features it is the "scale" of
        scikit-learn.

    max_samples : int or None, default=100000
        Most rows learnt from. If there are more with a label, so many are drawn, those
        of rare labels more probably, so that classes have similar numbers of rows.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    random_state : int, RandomState instance or None, default=None
        Source of the anchors, of the rows learnt from and of the codes to begin with.
        An int makes them reproducible.

    Attributes
    ----------
    coef_ : ndarray of shape (n_bits, n_classes), dtype=float32
        The classifier :math:`W`, on codes of -1 and +1.

    anchors_ : ndarray of shape (n_anchors, n_features), dtype=float32
        The anchors, up to rounding.

    center_ : ndarray of shape (n_features,), dtype=float64
        Mean of the anchors, which features are measured from.

    gamma_ : float
        The :math:`\gamma` in use.

    kernel_mean_ : ndarray of shape (n_anchors,), dtype=float64
        Mean of the kernels over the training rows, :math:`\mu`.

    projection_ : ndarray of shape (n_anchors, n_bits), dtype=float32
        The projections :math:`P`.

    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.

    loss_curve_ : list of float
        The objective after each round.

    n_iter_ : int
        Number of rounds.

    n_bits_ : int
        Number of bits of a code.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    KSH : Learns from pairs, one bit after the other.

    Notes
    -----
    Rows with the same labels begin with the same row of a Hadamard matrix, since the
    objective is lower at codes far apart than where random ones lead. Where a matrix of
    `n_bits` columns has too few rows, and with its negatives as well, the codes begin
    at random, as in the paper. The paper does not centre the kernels.
    A fit takes memory for 4 `n_anchors` bytes a row.
    The defaults were chosen on held-out parts of the training rows of four sets of
    features (CIFAR-10, Fashion-MNIST, 20 Newsgroups, Corel5K) at 32 bits. More anchors
    give a higher mAP and take more time, to encode as well.

    References
    ----------
    .. [1] F. Shen, C. Shen, W. Liu and H. T. Shen. Supervised discrete hashing. CVPR
       2015, equations 4 to 10.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import SDH, HammingNeighbors
    >>> X, X_query, y, y_query = train_test_split(
    ...     *load_digits(return_X_y=True), test_size=300, random_state=0)
    >>> search = make_pipeline(SDH(32, random_state=0), HammingNeighbors())
    >>> bool(search.fit(X, y).score(X_query, y_query) > 0.9)
    True
    """

    penalty: float = 1.0
    embedding_weight: float = 1e-5
    embedding_penalty: float = 0.1
    max_iter: int = 5
    max_samples: int | None = 100_000

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **AnchorHasher._parameter_constraints,
        "penalty": [Interval(Real, 0, None, closed="neither")],
        "embedding_weight": [Interval(Real, 0, None, closed="left")],
        "embedding_penalty": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    _fitted: ClassVar[Checks] = {
        **AnchorHasher._fitted,
        "coef_": array_of("f4", "n_bits", "n_classes"),
    }

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class that the classifier reads from the code.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The class, or with multi-label targets the one label, with the largest
            score of the classifier on its code of -1 and +1.
        """
        codes = np.where(self.decision_function(X) > 0, np.float32(1), np.float32(-1))
        return self.classes_[(codes @ self.coef_).argmax(axis=1)]

    def _learn(
        self, kernels: NDArray[np.float32], targets: Targets, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        labels, weight = targets.labels, np.float32(self.embedding_weight)
        embed = ridge_embedding(kernels, self.embedding_penalty)
        codes = first_codes(targets, self.n_bits_, rng)
        coef = ridge_classifier(codes, labels, self.penalty)
        projection, values = embed(codes)
        self.loss_curve_ = []
        for _ in range(self.max_iter):
            before = codes
            codes = discrete_codes(codes, labels @ coef.T + weight * values, coef)
            coef = ridge_classifier(codes, labels, self.penalty)
            projection, values = embed(codes)
            loss = classification_error(codes, labels, coef)
            loss += self.penalty * squared_norm(coef)
            loss += self.embedding_weight * squared_norm(codes - values)
            loss += (
                self.embedding_weight
                * self.embedding_penalty
                * squared_norm(projection)
            )
            self.loss_curve_.append(loss)
            if np.array_equal(codes, before):
                break
        self.coef_, self.n_iter_ = coef, len(self.loss_curve_)
        return projection


def first_codes(
    targets: Targets, n_bits: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return codes to begin with, (n_samples, n_bits), of -1 and +1.

    Rows with the same labels have the same row of a Hadamard matrix; where there are
    too few of these, the codes are random.
    """
    sets, set_of_row = np.unique(targets.indicator(), axis=0, return_inverse=True)
    if len(sets) <= most_codewords(n_bits):
        codewords = make_codebook("hadamard", len(sets), n_bits, rng)
        return codewords[set_of_row].astype(np.float32)
    return rng.choice(SIGNS, size=(len(targets), n_bits))


def most_codewords(n_bits: int) -> int:
    """Return how many rows the Hadamard matrix of that width or more has, doubled."""
    return 2 << (n_bits - 1).bit_length()


def ridge_embedding(
    kernels: NDArray[np.float32], penalty: float
) -> Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return what fits a ridge regression of codes on kernels: coefficients and fit."""
    values, vectors = linalg.eigh((kernels.T @ kernels).astype(np.float64))
    inverse = (vectors / (np.maximum(values, 0) + penalty)) @ vectors.T

    def embed(
        codes: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        projection = (inverse @ (kernels.T @ codes)).astype(np.float32)
        return projection, kernels @ projection

    return embed


def squared_norm(matrix: NDArray[np.float32]) -> float:
    """Return the sum of the squared entries."""
    return float(np.square(matrix, dtype=np.float64).sum())
