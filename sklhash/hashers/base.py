"""BaseHasher: what every hasher promises."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions, validate_params
from sklearn.utils.validation import check_is_fitted, validate_data
from torch.utils.data import Dataset

from sklhash._arrays import refuse_what_is_no_number
from sklhash._dask import in_memory, is_dask
from sklhash._files import PathLike
from sklhash._forks import after_fork
from sklhash._state import (
    FEATURES,
    Checks,
    Storable,
    check_state,
    fitted_attributes,
    owned,
    size,
)
from sklhash._validation import Interval, check_array_like
from sklhash.codes import MAX_BITS, pack_positive
from sklhash.hashers.encoding import encode_store
from sklhash.hashers.lazily import encode_lazily
from sklhash.hashers.parameters import DeclaredParameters
from sklhash.metrics.scorers import map_scorer
from sklhash.stores.files import StorageOptions
from sklhash.stores.formats import Format
from sklhash.stores.store import CodeStore
from sklhash.training.blocks import float32_blocks

__all__ = ["BaseHasher", "draw_seed"]

# Attributes that tell of a fit, and not of the map that it has learnt.
_RECORDS = {"classes_", "feature_names_in_", "loss_curve_", "n_iter_"}

# GNU's OpenMP hangs in a forked process if it had threads in the one before.
after_fork(partial(torch.set_num_threads, 1))


def _block_rows(X: Any) -> int:
    """Return how many rows are mapped at once: 256, fewer if they are very wide."""
    return max(16, min(256, 2**22 // math.prod(X.shape[1:])))


class BaseHasher(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    DeclaredParameters,
    Storable,
    BaseEstimator,
    ABC,
):
    """Features in, codes out: the contract of every hasher.

    A hasher maps features to a real-valued code, and bit ``j`` of the code is one
    exactly where ``decision_function(X)[:, j] > 0``. A subclass declares its parameters
    as annotated class attributes, reads `X` by `_check_X` and sets `n_bits_` in `fit`,
    and maps blocks of rows in `_project`.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code, at most 65,000.

    packed : bool, default=False
        Whether :meth:`transform` returns codes packed into bytes.

    Notes
    -----
    Threads may encode with one hasher at the same time, but not while it is fitted:
    :meth:`fit` and `partial_fit` set one attribute after the other. For a hasher in use
    let a :func:`copy.deepcopy` learn, and put it in its place.

    A process that is forked from another begins with one thread of torch, since torch
    may hang with more. Codes do not depend on that; fits do, in the last digits.

    Examples
    --------
    A hasher whose bits are the signs of the first features:

    >>> from sklhash import BaseHasher
    >>> class FirstFeatures(BaseHasher):
    ...     def fit(self, X, y=None):
    ...         self._check_X(X, reset=True)
    ...         self.n_bits_ = self.n_bits
    ...         return self
    ...
    ...     def _project(self, block):
    ...         return block[:, : self.n_bits_]
    >>> X = [[0.5, -2.0, 1.0], [-0.1, 3.0, 1.0]]
    >>> FirstFeatures(2).fit(X).transform(X)
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """

    n_bits: int = field(default=64, kw_only=False)
    packed: bool = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "packed": ["boolean"],
    }

    _fitted: ClassVar[Checks] = {"n_bits_": size("n_bits"), **FEATURES}

    @abstractmethod
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the map from features to codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Labels, for methods that learn from them.

        Returns
        -------
        self : object
            The fitted hasher.
        """

    @abstractmethod
    def _project(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map a block of rows to real-valued codes, (n_rows, n_bits).

        For one `n_features` the block has always the same height, so that matrix
        products take the same path whatever the number of rows encoded.
        """

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the real-valued code, of which :meth:`transform` takes the sign.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask Array or DataFrame} of shape \
                (n_samples, n_features)
            Features.

        Returns
        -------
        values : ndarray or dask Array of shape (n_samples, n_bits), dtype=float32
            Bit ``j`` of the code is one where ``values[:, j] > 0``. For a Dask
            collection lazy, as :meth:`transform` describes it.
        """
        if is_dask(X):
            return encode_lazily(self, X, "decision_function")
        X = self._check_fitted_X(X)
        values = np.empty((X.shape[0], self.n_bits_), dtype=np.float32)
        for rows, block_values in self._project_blocks(X):
            values[rows] = block_values
        return values

    def transform(self, X: Any) -> NDArray[np.uint8]:
        """Turn features into codes.

        A row has the same code whether it comes alone or among others. Memory-mapped
        and sparse input is read a block at a time.

        Of a Dask array or data frame the codes are a Dask array, lazy: each block is
        encoded when it is computed, by the hasher as it is now, and has the codes it
        would have in memory. Names and number of features are checked now, values then.
        A block without rows has no codes; one of a data frame may have any number of
        rows, so that the length of its codes is not known.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask Array or DataFrame} of shape \
                (n_samples, n_features)
            Features.

        Returns
        -------
        codes : ndarray or dask Array of shape (n_samples, n_bits), dtype=uint8
            Bits; with ``packed=True`` bytes, ``(n_samples, ceil(n_bits / 8))``.

        Raises
        ------
        ValueError
            If `X` is malformed or has other features than those of the fit, or is a
            Dask collection and `set_output` asks for data frames.
        """
        if is_dask(X):
            return encode_lazily(self, X, "transform")
        X = self._check_fitted_X(X)
        codes = np.empty((X.shape[0], self._n_features_out), dtype=np.uint8)
        for rows, block_values in self._project_blocks(X):
            if self.packed:
                codes[rows] = pack_positive(block_values)
            else:
                np.greater(block_values, 0, out=codes[rows].view(np.bool_))
        return codes

    @validate_params(
        {
            "store": [str, os.PathLike],
            "format": [StrOptions({"npy", "parquet"})],
            "shard_size": [Interval(Integral, 1, None, closed="left")],
            "verify": ["boolean"],
            "storage_options": [dict, None],
        },
        prefer_skip_nested_validation=True,
    )
    def encode_to(
        self,
        store: PathLike,
        chunks: Any,
        *,
        ids: Any = None,
        format: Format = "npy",
        shard_size: int = 2**20,
        verify: bool = True,
        storage_options: StorageOptions = None,
    ) -> CodeStore:
        """Write the packed codes of rows, and their ids, into a store.

        What was interrupted, even killed, goes on: called again with the same
        arguments, this encodes what is missing, and ends with the same files as if it
        had run once. A complete store is compared with the input, and left as it is.

        Parameters
        ----------
        store : str or path-like
            Folder of the store: a local path, or a URL that fsspec knows, such as
            ``"s3://bucket/codes"``. It is made where it is not there.

        chunks : array-like, sparse matrix, Dask collection or iterable of them
            Features, (n_samples, n_features) in all. A NumPy array, in memory or
            mapped, a sparse matrix, a tensor or a data frame is cut into shards of
            `shard_size` rows. A block of a Dask array or data frame becomes a shard,
            and the tasks that encode it write it: on the workers, if a cluster is
            connected. Any other iterable, a list or a generator, yields arrays, or
            pairs of an array and its ids, and each becomes a shard.

        ids : array-like of shape (n_samples,) or Dask array or series, default=None
            Whole numbers, strings or bytes. None takes the index of a data frame of
            pandas or Dask, and otherwise numbers the rows from 0 on. For a Dask
            collection it may be one with the same blocks. It must be None where
            `chunks` is an iterable, which yields pairs.

        format : {"npy", "parquet"}, default="npy"
            Files of the shards: ``.npy``, which can be mapped into memory, or Parquet.

        shard_size : int, default=1048576
            Number of rows of a shard, where `chunks` does not say it.

        verify : bool, default=True
            Whether to read the input of finished shards again, and compare it. False
            trusts that their rows are the same, and compares the numbers of rows only.

        storage_options : dict, default=None
            What fsspec's file system is made with: credentials, an endpoint.

        Returns
        -------
        store : CodeStore
            The complete store.

        Raises
        ------
        ImportError
            If the file system, or Parquet, needs a package that is not installed.
        ValueError
            If the store is there and is of another model, `format` or input, in which
            case it stays as it was; if `chunks` has no rows or malformed ones, or `ids`
            are not one a row.

        See Also
        --------
        CodeStore : Reads the store, and says what is in its files.

        Notes
        -----
        Codes are packed whatever `packed` is. Files are written whole, and the receipt
        of a shard after its codes, so that whatever a killed run leaves half done
        counts as missing. Of an array the rows of one block are in memory at a time, of
        other chunks one chunk. One call at a time may write a store, and the workers of
        a cluster have to see its folder.

        What makes a model another one is its class, with the code in it, and what it
        has learnt to encode by; so another version of this library may count as another
        model. Its `device`, `n_jobs`, `packed` and `verbose` do not count.

        Examples
        --------
        >>> from sklhash import LSH
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> hasher = LSH(64, random_state=0).fit(X)
        >>> store = hasher.encode_to("memory://digits", X, shard_size=1000)
        >>> store.n_samples, store.n_bits, store.lengths
        (1797, 64, (1000, 797))
        >>> chunks = ((X[i : i + 600], y[i : i + 600]) for i in range(0, 1797, 600))
        >>> store = hasher.encode_to("memory://digits-with-labels", chunks)
        >>> store.lengths
        (600, 600, 597)
        >>> store.ids_at([0, 1796])
        array([0, 8])
        """
        return encode_store(
            self,
            store,
            chunks,
            ids=ids,
            format=format,
            shard_size=shard_size,
            verify=verify,
            storage_options=storage_options,
        )

    def score(self, X: Any, y: Any = None) -> float:
        """Mean average precision of `X` searched in itself, each query left out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels)
            Labels.

        Returns
        -------
        score : float
            :func:`~sklhash.metrics.mean_average_precision_score` over the whole
            ranking, ties expected. To search another database, use
            :func:`~sklhash.metrics.make_retrieval_scorer`.
        """
        return map_scorer(self, X, y)

    @property
    def _n_features_out(self) -> int:
        return -(-self.n_bits_ // 8) if self.packed else self.n_bits_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_bits_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        check_state(state, self._fitted, of=type(self).__name__, others=others)
        for name, value in state.items():
            setattr(self, name, owned(value))

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Check all of `X` but its values, which are checked as they are read."""
        if isinstance(X, Dataset):
            raise TypeError(
                f"X must be array-like, got a {type(X).__name__}, a dataset of torch, "
                "which only deep hashers take."
            )
        if isinstance(X, torch.Tensor):
            X = X.detach().cpu()
            X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
        X = in_memory(X)
        check_array_like(X, "X")
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            accept_sparse="csr",
            ensure_all_finite=False,
            allow_nd=self._takes_rows_of_any_rank(reset),
        )
        refuse_what_is_no_number(X)
        return X

    def _takes_rows_of_any_rank(self, unfitted: bool) -> bool:
        return False

    def _check_fitted_X(self, X: Any) -> Any:
        check_is_fitted(self)
        return self._check_X(X, reset=False)

    def _blocks(self, X: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Walk over checked `X` in blocks of finite float32 rows."""
        return float32_blocks(X, _block_rows(X))

    def _project_blocks(self, X: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Map `X` in blocks of one height, the last one filled up with zeros."""
        height, project = _block_rows(X), self._projection()
        for rows, block in self._blocks(X):
            n_rows = len(block)
            if n_rows < height:
                block = np.concatenate(
                    [block, np.zeros((height - n_rows, *X.shape[1:]), np.float32)]
                )
            values = project(block)[:n_rows]
            if np.isnan(np.vdot(values, values)):
                raise ValueError(
                    "X has rows so much larger than those of the fit that their "
                    f"real-valued codes are no numbers, up to {np.abs(block).max():g}."
                )
            yield rows, values

    def _encoding_state(self) -> Any:
        """Return what codes depend on, for a fingerprint of the model."""
        learnt = fitted_attributes(self)
        return {name: v for name, v in learnt.items() if name not in _RECORDS}

    def _projection(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return what maps blocks in one call: `_project`, or what it comes down to."""
        return self._project


def draw_seed(random_state: Any) -> int:
    """Draw a seed, without touching numpy's global generator for None."""
    if random_state is None:
        random_state = np.random.RandomState(np.random.SeedSequence().generate_state(4))
    return int(check_random_state(random_state).randint(2**31 - 1))
