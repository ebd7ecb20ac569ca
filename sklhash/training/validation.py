"""Rows kept out of the training, and how well they are found among the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.codes import pack_codes
from sklhash.metrics.ranking import mean_average_precision_score
from sklhash.targets import Targets
from sklhash.training.batches import TrainingRows

__all__ = ["HeldOutRows", "held_out_places"]


def held_out_places(
    targets: Targets, fraction: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Choose rows to keep out, of each class or set of labels about that fraction.

    Rows in the order of their labels, in random order within, are taken at equal
    intervals. A row that is the only one with one of its labels is not.

    Parameters
    ----------
    targets : Targets
        Labels of all rows.

    fraction : float
        How many to keep out, between 0 and 1.

    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    places : ndarray of shape (n_held_out,), dtype=intp
        Ascending.

    Raises
    ------
    ValueError
        If that leaves no row, or fewer than two to train on.
    """
    n_rows = len(targets)
    shuffled = rng.permutation(n_rows)
    order = shuffled[np.argsort(_label_sets(targets)[shuffled], kind="stable")]
    marks = np.floor(np.arange(n_rows + 1) * fraction + rng.random())
    chosen = order[np.diff(marks) > 0]
    labels = targets.labels
    unique = np.asarray(labels.sum(axis=0)).ravel() == 1
    places = np.sort(chosen[labels[chosen] @ unique == 0])
    if len(places) == 0 or n_rows - len(places) < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows, of which a label's only "
            f"row is never kept out, keeps out {len(places)}: at least one has to be, "
            "and two to be left."
        )
    return places


def _label_sets(targets: Targets) -> NDArray[np.intp]:
    """Return a number for each row, equal where the labels are."""
    if targets.ids is not None:
        return targets.ids
    labels = targets.labels
    sets = [
        labels.indices[start:stop].tobytes()
        for start, stop in zip(labels.indptr[:-1], labels.indptr[1:], strict=True)
    ]
    return np.unique(np.array(sets, dtype=object), return_inverse=True)[1]


class HeldOutRows:
    """Rows that are not trained on, and the database that they are searched in.

    Parameters
    ----------
    queries : TrainingRows
        The rows that were kept out.

    database : TrainingRows
        The rows that are trained on.
    """

    def __init__(self, queries: TrainingRows, database: TrainingRows) -> None:
        self.queries = queries
        self.database = database

    def mean_average_precision(self, net: Any) -> float:
        """Search the rows kept out among the others, ties expected.

        Parameters
        ----------
        net : HashingNet
            What encodes both.
        """
        codes = [_codes_of(rows, net) for rows in (self.queries, self.database)]
        labels = [_labels_of(rows.targets) for rows in (self.queries, self.database)]
        return mean_average_precision_score(*codes, *labels, packed=True)


def _codes_of(rows: TrainingRows, net: Any) -> NDArray[np.uint8]:
    return np.concatenate([pack_codes(net.bits(x)) for x in rows.blocks()])


def _labels_of(targets: Targets) -> Any:
    return targets.labels if targets.ids is None else targets.ids
