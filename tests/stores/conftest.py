"""A store in a folder, which a test may harm."""

import pytest

from tests.stores.stored import HASHER, IDS, X


@pytest.fixture
def folder(tmp_path):
    HASHER.encode_to(tmp_path, X, ids=IDS, shard_size=20)
    return tmp_path
