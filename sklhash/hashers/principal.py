"""Principal directions out of rows that come in blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from sklearn.utils.extmath import svd_flip
from torch import Tensor

from sklhash.training.blocks import float32_blocks
from sklhash.training.heads import rowwise_linear

__all__ = ["Moments", "principal_directions", "project_on"]

MOST_VALUES = 2**25  # in memory at once, 256 MiB


class Moments(NamedTuple):
    """What principal directions need to know of the rows seen so far.

    ``root.T @ root`` is the sum of the outer products of the centred rows. The root has
    no more rows than features, and no more than `MOST_VALUES` values: beyond about
    5,800 features it keeps the largest principal directions only, as incremental PCA
    does [1]_. Instances are not changed in place.

    References
    ----------
    .. [1] D. A. Ross, J. Lim, R.-S. Lin and M.-H. Yang. Incremental learning for robust
       visual tracking. IJCV 77, 2008.
    """

    n_rows: int
    mean: NDArray[np.float64]
    root: NDArray[np.float64]

    @classmethod
    def of_nothing(cls, n_features: int) -> Moments:
        """Return the moments of no rows."""
        return cls(0, np.zeros(n_features), np.zeros((0, n_features)))

    def with_rows(self, X: Any, n_kept: int) -> Moments:
        """Return the moments of the rows so far and those of checked `X`.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Features, read some rows at a time.

        n_kept : int
            Least number of principal directions to keep of very wide rows.
        """
        moments = self
        for _, block in float32_blocks(X, max(n_kept, MOST_VALUES // 8 // X.shape[1])):
            moments = moments._with_block(block.astype(np.float64), n_kept)
        return moments

    def _with_block(self, block: NDArray[np.float64], n_kept: int) -> Moments:
        n_new = len(block)
        n_rows = self.n_rows + n_new
        block_mean = block.mean(axis=0)
        shift = block_mean - self.mean
        block -= block_mean
        between = np.sqrt(self.n_rows / n_rows * n_new) * shift
        root = np.concatenate([self.root, between[None], block])
        mean = self.mean + shift * (n_new / n_rows)
        return Moments(n_rows, mean, _shorter_root(root, n_kept))


def principal_directions(moments: Moments, n_directions: int) -> NDArray[np.float32]:
    """Return the first principal directions, those without variance left out.

    What float32 cannot tell from zero is no variance. If there is none at all, one
    direction is returned nevertheless.

    Returns
    -------
    directions : ndarray of shape (n, n_features), dtype=float32
        Orthonormal rows, ``1 <= n <= n_directions``, by falling variance; the largest
        entry of each is positive.
    """
    _, lengths, directions = linalg.svd(moments.root, full_matrices=False)
    offset = np.sqrt(moments.n_rows) * np.abs(moments.mean).max()
    smallest = np.finfo(np.float32).eps * max(lengths[0], offset)
    n = min(n_directions, max(1, np.count_nonzero(lengths > smallest)))
    _, directions = svd_flip(None, directions[:n], u_based_decision=False)
    return directions.astype(np.float32)


def project_on(
    directions: NDArray[np.float32],
    mean: NDArray[np.float64],
    block: NDArray[np.float32],
) -> Tensor:
    """Return the coordinates of rows, centred, whatever their place in the block.

    Parameters
    ----------
    directions : ndarray of shape (n_directions, n_features), dtype=float32

    mean : ndarray of shape (n_features,), dtype=float64

    block : ndarray of shape (n_rows, n_features), dtype=float32

    Returns
    -------
    coordinates : Tensor of shape (n_rows, n_directions), dtype=float32
    """
    centred = torch.from_numpy(block - mean.astype(np.float32))
    writeable = np.require(directions, requirements=["W"])
    return rowwise_linear(centred, torch.from_numpy(writeable))


def _shorter_root(root: NDArray[np.float64], n_kept: int) -> NDArray[np.float64]:
    """Return a root of the same outer products that is no longer than it need be."""
    n_rows, n_features = root.shape
    if n_rows > n_features:
        return np.asarray(np.linalg.qr(root, mode="r"))
    longest = max(n_kept, MOST_VALUES // n_features)
    if n_rows <= longest:
        return root
    _, turn = linalg.eigh(root @ root.T, subset_by_index=[n_rows - longest, n_rows - 1])
    return turn.T @ root
