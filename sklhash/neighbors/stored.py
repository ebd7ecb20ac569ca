"""What HammingNeighbors holds: codes that come and go, labels, and a file of them."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_is_fitted,
    validate_data,
)

from sklhash._arrays import as_array
from sklhash._dask import in_memory
from sklhash._fitting import unchanged_on_failure
from sklhash._forks import ProcessLock
from sklhash._state import (
    FEATURES,
    Checks,
    Sizes,
    Storable,
    absent_or,
    array_of,
    check_state,
    fields,
    fitted_attributes,
    none_or,
    whole,
)
from sklhash._validation import check_array_like
from sklhash.codes import MAX_BITS
from sklhash.neighbors.contents import InMemory, InShards
from sklhash.neighbors.engine import Algorithm
from sklhash.neighbors.exchange import as_bit_strings, to_faiss
from sklhash.neighbors.labels import check_kinds, labels_in_blocks, labels_of
from sklhash.neighbors.on_device import check_device
from sklhash.neighbors.reading import (
    as_packed,
    check_n_bits,
    columns_of,
    packed_block,
)
from sklhash.neighbors.sharded import SearchShard, ShardedTable
from sklhash.neighbors.table import CodeTable
from sklhash.sharding import Shards, is_sharded
from sklhash.sharding.sources import PackedCodes, Source, sources_of
from sklhash.stores import CodeStore

__all__ = ["CHANGES", "StoredCodes", "check_indices"]

CHANGES = ProcessLock()


def _check_labels(value: Any, sizes: Sizes) -> None:
    if not isinstance(value, (np.ndarray, sparse.csr_array)) or value.ndim > 2:
        raise ValueError(f"a vector or a matrix, got {type(value).__name__}")


_FITTED: Checks = {
    **FEATURES,
    "n_bytes": whole(1),
    "n_stored": whole(),
    "n_arrived": whole(1),
    "codes": fields(
        planes=array_of("u8", "n_words", "n_places"),
        allowed=array_of("u8", "n_masks"),
        rows=absent_or(array_of("i8", "n_rows")),
    ),
    "y": none_or(_check_labels),
}


class StoredCodes(CallbackSupportMixin, Storable, BaseEstimator):
    """An estimator that keeps codes and labels: all of a search but the searching.

    Subclasses have the parameters `algorithm`, `device`, `packed` and `threshold`.
    """

    algorithm: Algorithm
    algorithm_: Algorithm
    device: str
    packed: bool
    threshold: float | None
    _stored: InMemory | InShards

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Index codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if packed, \
                Dask array or data frame, or CodeStore
            Codes, or real values with a `threshold`. The blocks of a Dask collection
            and the shards of a store are kept apart: on the workers if a
            :class:`distributed.Client` is connected, else in this process. A store has
            packed codes; `packed` says how the queries come.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), or Dask collection, default=None
            Labels of the codes, kept for :meth:`score`. A Dask collection has the
            blocks of `X`.

        Returns
        -------
        self : HammingNeighbors
            The fitted search.

        Raises
        ------
        ValueError
            If `X` holds no codes, `y` is of another length, both `packed` and
            `threshold` are set, or `device` is not there.
        """
        task = self._init_callback_context()
        task.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._check_parameters()
        with unchanged_on_failure(self):
            if is_sharded(X):
                self._begin(self._in_shards(X, y))
            else:
                labels = labels_of(X, y)
                table = CodeTable(self._read(X, reset=True))
                self._begin(InMemory(table, [labels]))
        task.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Index more codes, behind those that are there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_), Dask array or data \
                frame, or CodeStore
            Codes, as for :meth:`fit`. The first of them gets the index
            `n_samples_fit_`. They come in shards if the earlier ones do.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Their labels: of the same kind as those that are there, or None if there are
            none.

        Returns
        -------
        self : HammingNeighbors
            The search, with more codes.

        Raises
        ------
        ValueError
            If `X` or `y` is unlike what was fitted.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y)
        more = self._sources(X, y) if self._is_sharded else self._items(X, y)
        with CHANGES.held:
            self._stored = self._stored.followed_by(more)
        return self

    def remove(self, indices: Any) -> Self:
        """Take codes out; the others keep their indices.

        Parameters
        ----------
        indices : array-like of shape (n_removed,)
            Indices of codes that are there, each once.

        Returns
        -------
        self : HammingNeighbors
            The search, without them.

        Raises
        ------
        ValueError
            If an index is out of range, was removed before or comes twice.
        """
        check_is_fitted(self)
        with CHANGES.held:
            stored = self._stored
            rows = check_indices(stored.table, indices, "indices")
            self._stored = stored.without(stored.table.places_of(rows))
        return self

    def pack(self, X: Any) -> NDArray[np.uint8]:
        """Read codes as this search does, and return them packed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes, or real values with a `threshold`.

        Returns
        -------
        packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
            The packed codes.
        """
        check_is_fitted(self)
        return self._packed(X)

    @property
    def codes_(self) -> NDArray[np.uint8]:
        """The codes, packed, zeros where removed: a copy, (n_samples_fit_, n_bytes)."""
        check_is_fitted(self)
        return self._stored.table.packed

    @property
    def y_(self) -> NDArray[Any] | sparse.csr_array | None:
        """Labels of all codes that ever came, or None; not to be changed."""
        check_is_fitted(self)
        return self._stored.y

    @property
    def live_(self) -> NDArray[np.bool_]:
        """Whether each code is still there, (n_samples_fit_,)."""
        check_is_fitted(self)
        return self._stored.table.live_rows

    @property
    def n_samples_fit_(self) -> int:
        """Number of codes that ever came."""
        check_is_fitted(self)
        return self._stored.table.n_arrived

    @property
    def n_live_(self) -> int:
        """Number of codes that were not removed."""
        check_is_fitted(self)
        return self._stored.table.n_live

    def live_items(self) -> tuple[Any, Any]:
        """Return the codes that are there, with their labels.

        What other threads add or remove meanwhile is in both or in neither.

        Returns
        -------
        codes : ndarray of shape (n_live_, n_bytes), dtype=uint8
            Packed codes, in order of arrival. Codes in shards stay there: scores take
            them as they are, and :func:`numpy.asarray` brings them here.

        y : ndarray or csr_array of shape (n_live_,) or (n_live_, n_labels), or None
            Their labels, likewise.
        """
        check_is_fitted(self)
        return self._stored.live_items

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the search into a file, as :func:`sklhash.save` does.

        Parameters
        ----------
        path : str or path-like
            The file. An earlier one stays as it is until the new one is complete.

        Raises
        ------
        TypeError
            If the labels are neither numbers nor strings.
        """
        from sklhash.persistence import save

        save(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        mmap_mode: Literal["r", "c"] | None = "r",
        *,
        verify: bool = True,
    ) -> Self:
        """Open a search that was saved, as :func:`sklhash.load` does.

        Parameters
        ----------
        path : str or path-like
            A file of :meth:`save` or :func:`sklhash.save`.

        mmap_mode : {"r", "c"} or None, default="r"
            "r" maps the file into memory: what searches need of it is read once, and
            processes share it. "c" is the same for a search, None reads it all. The
            file is never changed; codes that are added or removed afterwards are so in
            memory only.

        verify : bool, default=True
            Whether the file is read once to compare its checksum. Without that it opens
            in milliseconds, whatever its size, and a changed byte goes unnoticed.

        Returns
        -------
        search : HammingNeighbors
            The search, with its codes, labels and parameters; it searches on a CPU.

        Raises
        ------
        ValueError
            If the file is not one of :meth:`save`, holds another estimator, or is
            damaged.
        """
        from sklhash.persistence import load

        search = load(path, mmap_mode=mmap_mode, verify=verify, trusted=[cls])
        if not isinstance(search, cls):
            raise ValueError(
                f"{os.fspath(path)!r} holds a {type(search).__name__}, not a "
                f"{cls.__name__}: sklhash.load opens it."
            )
        return search

    def to_faiss(self) -> Any:
        """Copy the codes into FAISS.

        Returns
        -------
        index : faiss.IndexBinaryFlat
            An exact index of the codes that are there, in order. Without removals its
            ids are the indices here; after some, ``np.flatnonzero(search.live_)[ids]``
            are.

        Raises
        ------
        ImportError
            If faiss is not installed.
        """
        return to_faiss(np.asarray(self.live_items()[0]))

    def as_bit_strings(self, X: Any = None) -> list[str]:
        """Write codes as strings of zeros and ones, as SQL takes them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_), default=None
            Codes. None takes those that are there.

        Returns
        -------
        strings : list of str
            One a code; character ``j`` is bit ``j``. Codes that come packed have eight
            to the byte.
        """
        codes = np.asarray(self.live_items()[0]) if X is None else self.pack(X)
        n_bits = 8 * codes.shape[1] if self.packed else self.n_features_in_
        return as_bit_strings(codes, n_bits)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_stored")

    def _fitted_state(self) -> dict[str, Any]:
        stored, state = self._stored, fitted_attributes(self)
        if isinstance(stored, InShards):
            raise TypeError(
                f"This {type(self).__name__} has its codes in shards, which are not "
                "put into a file: keep what it was fitted on, a store or a Dask "
                "collection, and fit on that again."
            )
        table, y = stored.table, stored.y
        del state["_stored"], state["algorithm_"]
        return {
            **state,
            "n_bytes": table.n_bytes,
            "n_stored": table.n_stored,
            "n_arrived": table.n_arrived,
            "codes": table.arrays(),
            "y": y,
        }

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        check_state(state, _FITTED, of=type(self).__name__, others=others)
        table = CodeTable.from_arrays(
            *(state[name] for name in ("n_bytes", "n_stored", "n_arrived", "codes"))
        )
        n_features, y = state["n_features_in_"], state["y"]
        if table.n_bytes not in (n_features, -(-n_features // 8)):
            raise ValueError(f"{n_features} columns make no {table.n_bytes} bytes.")
        if table.n_bits > MAX_BITS:
            raise ValueError(f"codes may have {MAX_BITS} bits, got {table.n_bits}.")
        if y is not None and y.shape[0] != table.n_arrived:
            raise ValueError(f"it has {y.shape[0]} labels for {table.n_arrived} codes.")
        self.device = device if device.startswith("cuda") else "cpu"
        self._begin(InMemory(table, [y]))
        for name in state.keys() - (_FITTED.keys() - FEATURES.keys()):
            setattr(self, name, state[name])

    def _check_parameters(self) -> None:
        if self.packed and self.threshold is not None:
            raise ValueError(
                "threshold makes bits of real values, packed=True says that bits come "
                f"as bytes; got both packed=True and threshold={self.threshold}."
            )
        check_device(self.device)

    def _in_shards(self, X: Any, y: Any) -> InShards:
        """Return codes that come in shards."""
        n_bytes = self._read_width(X, reset=True)
        read = partial(packed_block, packed=self.packed, threshold=self.threshold)
        shards = Shards(sources_of(X, labels_in_blocks(y)), read, SearchShard)
        if len(shards) == 0:
            raise ValueError(
                "Found X with 0 sample(s) while a minimum of 1 is required."
            )
        check_kinds(shards)
        return InShards(ShardedTable(shards, n_bytes))

    def _sources(self, X: Any, y: Any) -> list[Source]:
        """Return what more shards come from."""
        if is_sharded(X):
            self._check_bytes(self._read_width(X, reset=False))
            return sources_of(X, labels_in_blocks(y))
        packed, labels = self._items(X, y)
        return sources_of(PackedCodes(packed), labels)

    def _items(self, X: Any, y: Any) -> tuple[NDArray[np.uint8], Any]:
        """Return codes, packed, and labels that are to come into memory."""
        X, y = in_memory(X), in_memory(y)
        labels = labels_of(X, y)
        if isinstance(X, CodeStore):
            self._check_bytes(self._read_width(X, reset=False))
            return np.asarray(X), labels
        return self._check_width(self._read(X, reset=False)), labels

    @property
    def _is_sharded(self) -> bool:
        return isinstance(self._stored, InShards)

    def _read_width(self, X: Any, *, reset: bool) -> int:
        """Check the columns of codes in shards, and return the bytes of a code."""
        columns = columns_of(X, self.packed)
        if not reset:
            self._refuse_other_packing(columns)
        _check_feature_names(self, columns, reset=reset)
        _check_n_features(self, columns, reset=reset)
        n_columns = columns.shape[1]
        n_bytes = n_columns if self.packed else -(-n_columns // 8)
        check_n_bits(8 * n_bytes)
        return n_bytes

    def _begin(self, stored: InMemory | InShards) -> None:
        self._stored = stored
        self.algorithm_ = "brute" if self.algorithm == "auto" else self.algorithm

    @property
    def _n_features_out(self) -> int:
        return self._stored.table.n_arrived

    def _packed(self, X: Any) -> NDArray[np.uint8]:
        if self._is_packed(X):
            return X
        return self._check_width(self._read(X, reset=False))

    def _is_packed(self, X: Any) -> bool:
        """Whether nothing is left to check, which a single query should not pay for."""
        return (
            type(X) is np.ndarray
            and X.dtype == np.uint8
            and self.packed
            and X.ndim == 2
            and 0 < len(X)
            and X.shape[1] == self._stored.table.n_bytes == self.n_features_in_
            and not hasattr(self, "feature_names_in_")
        )

    def _read(self, X: Any, *, reset: bool) -> NDArray[np.uint8]:
        X = in_memory(X)
        check_array_like(X, "X")
        real_valued = self.threshold is not None
        if not reset:
            self._refuse_other_packing(X)
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric" if real_valued else None,
            ensure_all_finite=real_valued,
        )
        packed = as_packed(X, self.packed, self.threshold)
        check_n_bits(8 * packed.shape[1])
        return packed

    def _refuse_other_packing(self, X: Any) -> None:
        """Say so if `X` has as many columns as these codes would in the other form."""
        shape: tuple[int, ...] = getattr(X, "shape", ())
        n_fitted = self.n_features_in_
        others = {8 * n_fitted} if self.packed else {-(-n_fitted // 8)}
        if len(shape) == 2 and shape[1] in others - {n_fitted}:
            raise ValueError(
                f"X has {shape[1]} features, but {type(self).__name__} is expecting "
                f"{n_fitted} features as input: with packed={self.packed} codes come "
                f"as {'bytes' if self.packed else 'bits'}; pack_codes and unpack_codes "
                "convert them."
            )

    def _check_width(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._check_bytes(packed.shape[1])
        return packed

    def _check_bytes(self, n_bytes: int) -> None:
        fitted = self._stored.table.n_bytes
        if n_bytes != fitted:
            raise ValueError(
                f"X has codes of {n_bytes} bytes, but the search was fitted on codes "
                f"of {fitted}: `packed` was changed after the fit."
            )


def check_indices(
    table: CodeTable | ShardedTable, indices: Any, name: str
) -> NDArray[np.int64]:
    """Return indices of codes that are there, each once, or say what is wrong."""
    rows = as_array(indices, name)
    if rows.size == 0:
        rows = rows.astype(np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a vector of whole numbers, got an array of shape "
            f"{rows.shape} and dtype {rows.dtype}."
        )
    outside = (rows < 0) | (rows >= table.n_arrived)
    if outside.any():
        raise ValueError(
            f"{name} must lie between 0 and {table.n_arrived - 1}, got "
            f"{rows[outside][0]}."
        )
    rows = rows.astype(np.int64)
    removed = table.places_of(rows) < 0
    if removed.any():
        raise ValueError(f"{name} has {rows[removed][0]}, which was removed.")
    distinct, counts = np.unique(rows, return_counts=True)
    if len(distinct) < len(rows):
        raise ValueError(
            f"{name} must be unique, got {distinct[counts > 1][0]} more than once."
        )
    return rows
