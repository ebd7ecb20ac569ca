"""Discrete cyclic coordinate descent: codes that a linear classifier reads best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

__all__ = ["classification_error", "discrete_codes", "ridge_classifier"]

MAX_SWEEPS = 10


def ridge_classifier(
    codes: NDArray[np.float32], labels: NDArray[np.float32], penalty: float
) -> NDArray[np.float32]:
    """Return the classifier that reads labels from codes, with a ridge penalty.

    It minimises ``|labels - codes @ coef|^2 + penalty * |coef|^2`` over `coef`.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_bits), dtype=float32
        Codes of -1 and +1.

    labels : {ndarray, csr_array} of shape (n_samples, n_classes)
        Label indicator.

    penalty : float
        Positive.

    Returns
    -------
    coef : ndarray of shape (n_bits, n_classes), dtype=float32
    """
    gram = (codes.T @ codes).astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    hits = (labels.T @ codes).T.astype(np.float64)
    return linalg.solve(gram, hits, assume_a="pos").astype(np.float32)


def discrete_codes(
    codes: NDArray[np.float32],
    pull: NDArray[np.float32],
    coef: NDArray[np.float32],
    max_sweeps: int = MAX_SWEEPS,
) -> NDArray[np.float32]:
    """Improve codes bit by bit, each bit exactly, all rows at once.

    Minimises ``|codes @ coef|^2 - 2 * sum(codes * pull)`` over codes of -1 and +1,
    which never rises, until a sweep over the bits changes nothing. With ``pull = labels
    @ coef.T + weight * values`` that is the error of the classifier and `weight` times
    the squared distance to `values`, less a constant.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_bits), dtype=float32
        Codes of -1 and +1 to begin with; not changed.

    pull : ndarray of shape (n_samples, n_bits), dtype=float32
        Where the linear part of the objective pulls each bit.

    coef : ndarray of shape (n_bits, n_classes), dtype=float32
        The classifier.

    max_sweeps : int, default=10
        Most sweeps over the bits.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_bits), dtype=float32
    """
    gram = coef @ coef.T
    np.fill_diagonal(gram, 0)
    bits = np.ascontiguousarray(codes.T)  # one bit of all rows side by side
    pull = np.ascontiguousarray(pull.T)
    for _ in range(max_sweeps):
        changed = False
        for k in range(len(bits)):
            best = np.where(pull[k] - gram[k] @ bits > 0, np.float32(1), np.float32(-1))
            changed = changed or not np.array_equal(best, bits[k])
            bits[k] = best
        if not changed:
            break
    return np.ascontiguousarray(bits.T)


def classification_error(
    codes: NDArray[np.float32], labels: NDArray[np.float32], coef: NDArray[np.float32]
) -> float:
    """Return ``|labels - codes @ coef|^2`` over all rows."""
    return float(np.square(labels - codes @ coef, dtype=np.float64).sum())
