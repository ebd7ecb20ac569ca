"""What y means: class ids, label indicators, similarity, relevance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import column_or_1d, gen_batches
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from sklhash._arrays import as_array
from sklhash._memory import working_bytes
from sklhash.codes import as_words, numbers_of

__all__ = [
    "Targets",
    "as_labels",
    "check_labels",
    "encode_targets",
    "relevance_labels",
]


class Targets:
    """The labels of rows, one class each or any number of labels each.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        What the columns of the indicator stand for.

    labels : csr_array of shape (n_samples, n_classes), dtype=float32
        Label indicator of zeros and ones.

    ids : ndarray of shape (n_samples,), dtype=int64, or None
        Column of each row's one class; None if multi-label.
    """

    def __init__(
        self,
        classes: NDArray[Any],
        labels: sparse.csr_array,
        ids: NDArray[np.int64] | None = None,
    ) -> None:
        self.classes = classes
        self.labels = labels
        self.ids = ids

    def __len__(self) -> int:
        return self.labels.shape[0]

    @property
    def n_classes(self) -> int:
        """Number of classes or labels."""
        return len(self.classes)

    @property
    def multilabel(self) -> bool:
        """Whether a row may have several labels."""
        return self.ids is None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Mask of shape (n_samples,): the rows with at least one label."""
        return np.diff(self.labels.indptr) > 0

    def take(self, rows: NDArray[Any]) -> Targets:
        """Return the targets of some rows, chosen by index or mask."""
        ids = None if self.ids is None else self.ids[rows]
        return Targets(self.classes, self.labels[rows], ids)

    def indicator(self, rows: Any = slice(None)) -> NDArray[np.float32]:
        """Return the label indicator of some rows, shape (n_rows, n_classes)."""
        if self.ids is None:
            return self.labels[rows].toarray()
        ids = self.ids[rows]
        indicator = np.zeros((len(ids), self.n_classes), dtype=np.float32)
        indicator[np.arange(len(ids)), ids] = 1
        return indicator

    def relevance(
        self, rows: Any = slice(None), columns: Any = slice(None)
    ) -> NDArray[np.int64]:
        """Count the labels that rows share with other rows, (n_rows, n_columns)."""
        shared = self.labels[rows] @ self.labels[columns].T
        return shared.toarray().astype(np.int64)

    def similarity(
        self, rows: Any = slice(None), columns: Any = slice(None)
    ) -> NDArray[np.bool_]:
        """Tell which rows share a label with which, (n_rows, n_columns)."""
        return self.relevance(rows, columns) > 0


def encode_targets(y: Any, *, classes: Any = None) -> Targets:
    """Read `y` as classes or labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
            (n_samples, n_labels)
        A vector of class labels, or a label indicator of zeros and ones, where a row
        of zeros has no label. A column vector is ravelled with a warning.

    classes : array-like of shape (n_classes,), default=None
        The classes to encode by, or the names of the label columns; None takes those
        that `y` has.

    Returns
    -------
    targets : Targets

    Raises
    ------
    ValueError
        If a label is missing or not among `classes`, or `y` is neither a vector of
        classes nor an indicator.
    """
    y = as_labels(y)
    if y.ndim == 2:
        return _encode_indicator(y, classes)
    classes = np.unique(y) if classes is None else _distinct_classes(classes)
    y, known = _comparable(y, classes, "y and classes")
    present = np.unique(y)
    unseen = ~np.isin(present, known)
    if unseen.any():
        raise ValueError(
            f"y has labels {present[unseen].tolist()} that are not among the classes "
            f"{classes.tolist()}."
        )
    ids = np.searchsorted(known, y)
    ones = np.ones(len(ids), dtype=np.float32)
    labels = sparse.csr_array(
        (ones, ids, np.arange(len(ids) + 1)), shape=(len(ids), len(classes))
    )
    return Targets(classes, labels, ids)


def relevance_labels(
    query_y: Any, database_y: Any
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], bool]:
    """Encode two sets of labels so that a compiled loop can tell what is relevant.

    Returns
    -------
    query_labels : ndarray of shape (n_queries, n_words), dtype=uint64
    database_labels : ndarray of shape (n_database, n_words), dtype=uint64
    multilabel : bool
        If False there is one word a row, the class, and equal words are relevant; if
        True a row is a set of bits, and rows with a bit in common are relevant.
    """
    query_y = as_labels(query_y, "query_y")
    database_y = as_labels(database_y, "database_y")
    if query_y.ndim != database_y.ndim:
        raise ValueError(
            "query_y and database_y must be labels of one kind, got "
            f"{_kind(query_y)} and {_kind(database_y)}."
        )
    if query_y.ndim == 2:
        if query_y.shape[1] != database_y.shape[1]:
            raise ValueError(
                "query_y and database_y must be indicators of the same labels, got "
                f"{query_y.shape[1]} and {database_y.shape[1]} columns."
            )
        return _label_words(query_y), _label_words(database_y), True
    query_y, database_y = _comparable(query_y, database_y, "query_y and database_y")
    classes = np.unique(np.concatenate((np.unique(query_y), np.unique(database_y))))
    query_ids, database_ids = (
        np.searchsorted(classes, y).astype(np.uint64)[:, None]
        for y in (query_y, database_y)
    )
    return query_ids, database_ids, False


def check_labels(y: Any, name: str = "y") -> None:
    """Raise a ValueError if `y` is neither a vector of classes nor an indicator."""
    as_labels(y, name)


def copied_labels(y: Any) -> NDArray[Any] | sparse.csr_array:
    """Return a copy of labels as they are kept, a vector or a matrix."""
    if sparse.issparse(y):
        return sparse.csr_array(y, copy=True)
    y = as_array(y, "y").copy()
    if y.ndim not in (1, 2):
        raise ValueError(f"y must be a vector or a matrix, got shape {y.shape}.")
    is_string = (isinstance(label, str) for label in y.flat)
    if y.dtype == object and y.size > 0 and not any(is_string):
        y = np.array(y.tolist())
    if y.dtype == np.uint64 and not (y >> np.uint64(63)).any():
        y = y.astype(np.int64)  # together with int64 it would become float64
    return y


def as_labels(y: Any, name: str = "y") -> Any:
    """Return `y` as a vector of classes or a CSR indicator."""
    if y is None:
        raise ValueError(f"{name} must be class labels or a label indicator, got None.")
    if sparse.issparse(y):
        if y.shape[1] > 1:
            return _as_indicator(y, name)
        y = y.toarray()
    array = as_array(y, name)
    if array.size and array.dtype.kind in "Uf" and isinstance(y, (list, tuple)):
        # numpy makes "nan" of NaN, "1" of 1 and floats of whole numbers above 2**63
        array = np.asarray(y, dtype=object)
    y = array
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.ndim == 2:
        return _as_indicator(y, name)
    if y.ndim != 1:
        raise ValueError(
            f"{name} must be a vector of classes or an indicator (n_samples, "
            f"n_labels), got an array of shape {y.shape}."
        )
    return _as_classes(y, name)


def _as_classes(y: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a vector of strings or of whole numbers, or say what is wrong with it."""
    _refuse_missing(y, name)
    if y.dtype.kind == "O":
        n_strings = sum(isinstance(label, str) for label in y)
        if n_strings == len(y):
            return y
        if n_strings:
            raise ValueError(f"{name} mixes strings with labels of another kind.")
        y = _numbers_of_one_dtype(y.tolist(), name)
    if y.dtype.kind == "T":
        return y.astype(object)
    if y.ndim == 1 and y.dtype.kind in "biuU":
        return y
    culprit = f"dtype {y.dtype}"
    if y.ndim == 1 and y.dtype.kind == "f":
        whole = np.isfinite(y) & (np.floor(y) == y)
        if whole.all():
            return y
        culprit = repr(y[np.argmin(whole)])
    raise ValueError(
        f"Unknown label type: {name} must hold classes, that is strings, bools or "
        f"whole numbers, got {culprit}."
    )


def _numbers_of_one_dtype(labels: list[Any], name: str) -> NDArray[Any]:
    y = as_array(labels, name)
    is_float = [isinstance(label, (float, np.floating)) for label in labels]
    if y.dtype.kind != "f" or any(is_float):
        return y
    if min(labels) < 0:
        raise ValueError(
            f"{name} must hold whole numbers of one dtype, got {min(labels)} and "
            f"{max(labels)}."
        )
    return np.array(labels, dtype=np.uint64)


def _as_indicator(y: Any, name: str) -> sparse.csr_array:
    if sparse.issparse(y):
        y = sparse.csr_array(y, copy=True)
        y.sum_duplicates()
        values = y.data
    else:
        values = y = numbers_of(y)
    wrong = (values != 0) & (values != 1)
    if wrong.any() or values.dtype.kind not in "buif":
        culprit = values[wrong][0] if wrong.any() else values.dtype
        raise ValueError(
            f"A two-dimensional {name} must be a label indicator of zeros and ones, "
            f"without NaN or None, got {culprit!r}."
        )
    if y.shape[1] == 0:
        raise ValueError(
            f"{name} must have at least one column as a label indicator, got none."
        )
    y = sparse.csr_array(y, dtype=np.float32)
    y.eliminate_zeros()
    return y


def _distinct_classes(classes: Any) -> NDArray[Any]:
    if as_array(classes, "classes").ndim != 1:
        raise ValueError(f"classes must be a vector of classes, got {classes!r}.")
    return np.unique(as_labels(classes, "classes"))


def _encode_indicator(y: sparse.csr_array, classes: Any) -> Targets:
    classes = np.arange(y.shape[1]) if classes is None else as_array(classes, "classes")
    if classes.shape != (y.shape[1],):
        raise ValueError(
            f"y must be an indicator with as many columns as there are classes, got "
            f"{y.shape[1]} columns and classes of shape {classes.shape}."
        )
    if len(np.unique(classes)) < len(classes):
        raise ValueError(f"classes must be different, got {classes.tolist()}.")
    return Targets(classes, y)


def _comparable(
    a: NDArray[Any], b: NDArray[Any], names: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return labels in one dtype, numbers exactly; "1" is not 1, which is refused."""
    are_strings = [y.dtype.kind in "OU" for y in (a, b)]
    if all(are_strings):
        return a, b
    if any(are_strings):
        raise ValueError(
            f"{names} must be labels of one kind, got strings and numbers."
        )
    dtype: Any = np.int64 if _fits_int64(a) and _fits_int64(b) else object
    a, b = (_as_whole_numbers(y, dtype) for y in (a, b))
    return a, b


def _fits_int64(y: NDArray[Any]) -> bool:
    if y.dtype.kind in "bi" or len(y) == 0:
        return True
    return -(2**63) <= int(y.min()) and int(y.max()) < 2**63


def _as_whole_numbers(y: NDArray[Any], dtype: Any) -> NDArray[Any]:
    if dtype is not object:
        return y.astype(dtype, copy=False)
    return np.array([int(number) for number in y.tolist()], dtype=object)


def _refuse_missing(y: NDArray[Any], name: str) -> None:
    if y.dtype.kind == "f":
        missing = np.isnan(y)
    elif y.dtype.kind == "O":
        missing = np.array(
            [v is None or is_pandas_na(v) or is_scalar_nan(v) for v in y], dtype=bool
        )
    else:
        return
    if missing.any():
        row = int(np.argmax(missing))
        raise ValueError(f"Input {name} contains NaN or None: {y[row]!r} in row {row}.")


def _label_words(y: sparse.csr_array) -> NDArray[np.uint64]:
    n_rows, n_labels = y.shape
    block_rows = working_bytes() // (5 * n_labels)
    blocks = [
        np.packbits(y[rows].toarray() > 0, axis=1, bitorder="little")
        for rows in gen_batches(max(1, n_rows), max(1, block_rows))
    ]
    return as_words(np.concatenate(blocks))


def _kind(y: Any) -> str:
    return "a label indicator" if y.ndim == 2 else "a vector of classes"
