"""Encoding Dask arrays and data frames: block by block, when they are computed."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names

from sklhash._dask import one_task

__all__ = ["encode_lazily"]

DTYPES = {"transform": np.uint8, "decision_function": np.float32}

Method = Literal["transform", "decision_function"]


def encode_lazily(hasher: Any, X: Any, method: Method) -> Any:
    """Return what a method of a hasher gives for each block of rows, not yet computed.

    Parameters
    ----------
    hasher : BaseHasher
        A fitted hasher. A copy of it is one task of the graph, which those of all
        blocks depend on: a worker needs it once, and if it is lost it is made again.

    X : dask Array or DataFrame of shape (n_samples, n_features)
        Features.

    method : {"transform", "decision_function"}
        The method.

    Returns
    -------
    values : dask Array of shape (n_samples, n_columns)
        With blocks of the rows of those of `X`.

    Raises
    ------
    ValueError
        If the features are not those of the fit, or the hasher was told to return data
        frames.
    """
    row = _like_one_row(X)
    hasher._check_fitted_X(row)
    n_columns = hasher.n_bits_
    if method == "transform":
        _refuse_frames(hasher)
        n_columns = hasher._n_features_out
    nothing = np.empty((0, n_columns), DTYPES[method])
    as_checked = copy(hasher)  # so that no block warns of names once more
    _check_feature_names(as_checked, row, reset=True)
    model = one_task(as_checked)
    if not hasattr(X, "chunks"):
        return X.map_partitions(_encode, model, method, nothing, meta=nothing)
    whole_rows = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    return whole_rows.map_blocks(
        _encode,
        model,
        method,
        nothing,
        chunks=(whole_rows.chunks[0], (n_columns,)),
        drop_axis=range(2, X.ndim),
        meta=nothing,
    )


def _encode(block: Any, model: Any, method: Method, nothing: NDArray[Any]) -> Any:
    if block.shape[0] == 0:
        return nothing
    with config_context(transform_output="default"):
        return getattr(model, method)(block)


def _like_one_row(X: Any) -> Any:
    """Return a row of the type, the columns and the dtype of `X`."""
    if hasattr(X, "chunks"):
        if np.isnan(X.shape[1:]).any():
            raise ValueError(
                f"X must have a known number of columns, got shape {X.shape}: "
                "X.compute_chunk_sizes() finds it out."
            )
        return np.zeros((1, *X.shape[1:]), X.dtype)
    from dask.dataframe.utils import meta_nonempty

    return meta_nonempty(X._meta)


def _refuse_frames(hasher: Any) -> None:
    wanted = _get_output_config("transform", hasher)["dense"]
    if wanted != "default":
        raise ValueError(
            f'set_output(transform="{wanted}") would compute all codes of a Dask '
            'collection: for those use set_output(transform="default"), and '
            "sklearn.set_config accordingly."
        )
