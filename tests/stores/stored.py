"""A store with strings as ids."""

import numpy as np

from tests.stores.encoded import X, fitted, packed

__all__ = ["HASHER", "IDS", "PACKED", "X", "store_in"]

HASHER, PACKED = fitted(), packed()
IDS = np.array([f"image {i}" for i in range(50)])


def store_in(folder, format):
    return HASHER.encode_to(folder, X, ids=IDS, shard_size=20, format=format)
