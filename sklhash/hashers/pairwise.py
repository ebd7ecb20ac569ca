"""Learning from similarity: pairs of rows in place of classes."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from sklearn.base import _fit_context
from torch import Tensor
from torch.utils.data import Dataset

from sklhash._fitting import unchanged_on_failure
from sklhash.hashers.deep import DeepHasher
from sklhash.hashers.supervision import refuse_missing_y
from sklhash.pairs import Pairs, encode_pairs
from sklhash.training.batches import TrainingPairs
from sklhash.training.datasets import StreamArray, refuse_loader

__all__ = ["PairwiseHasher", "pairs_of_batch"]


class PairwiseHasher(DeepHasher):
    """Base of deep hashers that learn from labels or from pairs of rows.

    A subclass declares whether the similarity of pairs may lie between 0 and 1 by
    ``_graded_pairs``; its loss reads the pairs of a batch by `pairs_of_batch`.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    <shared parameters>
    """

    _graded_pairs: ClassVar[bool] = False
    _learns_by_similarity: ClassVar[bool] = True

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, pairs: Any = None) -> Self:
        """Learn codes from features, and labels or pairs.

        If it fails or is interrupted, the hasher is as it was before.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch Dataset} of shape \
                (n_samples, n_features)
            Features; with a `backbone` rows of any shape. A dataset yields ``(x, y)``.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Class labels, or a label indicator of zeros and ones. Rows without a label
            are left out with a warning. None if there are pairs, or the dataset has
            labels.

        pairs : tuple of three array-likes of shape (n_pairs,), default=None
            What is known in place of labels: ``(i, j, s)`` says that rows ``i`` and
            ``j`` of `X` are similar (``s`` is 1) or not (0). The order within a pair
            does not matter; of other pairs nothing is assumed. Batches are drawn from
            the pairs, and an epoch is a pass over them. Rows in no pair are not used.

        Returns
        -------
        self : object
            The fitted hasher.

        Raises
        ------
        ValueError
            If a parameter is out of range, `X`, `y` or `pairs` is malformed, there are
            labels and pairs or neither, or there is nothing to tell apart.
        """
        self._init_callback_context(max_subtasks=self.max_epochs)
        with unchanged_on_failure(self):
            first = not self._goes_on
            refuse_loader(X)
            if pairs is None:
                if not isinstance(X, Dataset):
                    refuse_missing_y(self, y, instead=" It learns from pairs as well.")
                dataset = self._check_training(X, y, classes=None, first=first)
                self._check_learnable(dataset.targets)
            else:
                dataset = self._check_pairs(X, y, pairs, first=first)
            self._train(dataset, X, y)
        return self

    def _check_pairs(self, X: Any, y: Any, pairs: Any, *, first: bool) -> TrainingPairs:
        if y is not None:
            raise ValueError("Pass y or pairs, not both.")
        if self.validation_fraction is not None:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} needs labels to score "
                "by, and pairs have none."
            )
        X = self._check_X(X, reset=first)
        if isinstance(X, StreamArray):
            raise ValueError(
                "pairs are numbers of rows, and the items of an iterable dataset have "
                "none: pass a dataset with __getitem__ and __len__, or an array."
            )
        known = encode_pairs(pairs, X.shape[0], graded=self._graded_pairs)
        rows, known = known.compact()
        return TrainingPairs(X, known, rows)

    def _known_classes(self) -> Any:
        if not hasattr(self, "classes_"):
            raise ValueError(
                f"This {type(self).__name__} was fitted on pairs, which have no "
                "classes: no training on labels can go on from it."
            )
        return super()._known_classes()

    def _class_attributes(self, targets: Any) -> dict[str, Any]:
        return {} if isinstance(targets, Pairs) else super()._class_attributes(targets)


def pairs_of_batch(y: Any, *, graded: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of rows in a batch and how similar they are.

    Parameters
    ----------
    y : Tensor of shape (n, n_classes) or tuple of three tensors of shape (n_pairs,)
        Label indicator, of which all pairs of different rows are taken, each once; or
        pairs, which are returned.

    graded : bool, default=False
        Whether the similarity of rows with labels is the share of their labels that
        they have in common (Jaccard), not just whether they have one in common.

    Returns
    -------
    first, second : Tensor of shape (n_pairs,), dtype=int64
        Places of the rows in the batch.

    similarity : Tensor of shape (n_pairs,), dtype of `y`
        From 0 to 1, and 0 for dissimilar rows only.
    """
    if not isinstance(y, Tensor):
        return y
    first, second = torch.triu_indices(len(y), len(y), offset=1, device=y.device)
    common = (y @ y.T)[first, second]
    if not graded:
        return first, second, (common > 0).to(y.dtype)
    n_labels = y.sum(dim=1)
    return first, second, common / (n_labels[first] + n_labels[second] - common)
