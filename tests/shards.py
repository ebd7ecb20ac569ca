"""Rows cut into shards in all the ways in which a sharded search can be given them."""

from itertools import pairwise

import numpy as np

from sklhash import LSH


def random_codes(n, n_bits, n_distinct=10**9, seed=0):
    """Return codes of which many are the same if there are few distinct ones."""
    rng = np.random.default_rng(seed)
    shape = min(n_distinct, max(n, 1)), n_bits
    distinct = rng.integers(2, size=shape, dtype=np.uint8)
    return distinct[rng.integers(len(distinct), size=n)]


def random_sizes(n, n_shards, seed=0):
    """Return numbers of rows of shards; some are zero, as it happens."""
    cuts = np.random.default_rng(seed).integers(n + 1, size=n_shards - 1)
    return np.diff(np.sort([0, *cuts, n])).tolist()


def cut(rows, sizes):
    """Return the shards."""
    return [rows[i:j] for i, j in pairwise(np.cumsum([0, *sizes]).tolist())]


def as_array(rows, sizes):
    """Return a Dask array."""
    import dask.array as da

    rows = np.asarray(rows)
    return da.from_array(rows, chunks=(tuple(sizes), *rows.shape[1:]))


def as_array_of_unknown_chunks(rows, sizes):
    """Return a Dask array that does not know how many rows it has."""
    array = as_array(rows, sizes)
    unknown = (np.nan,) * len(sizes), *array.chunks[1:]
    return array.map_blocks(np.copy, chunks=unknown)


def of_blocks(*blocks):
    """Return a Dask array that takes all its blocks for ones like the first."""
    import dask
    import dask.array as da

    shape, dtype = (np.nan, *blocks[0].shape[1:]), blocks[0].dtype
    parts = [da.from_delayed(dask.delayed(block), shape, dtype) for block in blocks]
    return da.concatenate(parts, allow_unknown_chunksizes=True)


def as_frame(rows, sizes):
    """Return a Dask data frame, or a series of a vector."""
    import dask.dataframe as dd
    import pandas as pd

    blocks = cut(np.asarray(rows), sizes)
    if blocks[0].ndim == 1:
        return dd.from_map(pd.Series, blocks)
    columns = [f"bit{i}" for i in range(blocks[0].shape[1])]
    return dd.from_map(pd.DataFrame, blocks, columns=columns)


def as_store(bits, sizes, folder, **options):
    """Return a store of codes, which a hasher writes that leaves them as they are."""
    n_bits = bits.shape[1]
    hasher = LSH(n_bits, center="origin").fit(bits)
    hasher.components_ = np.eye(n_bits, dtype=np.float32)
    return hasher.encode_to(folder, cut(bits, sizes), **options)
