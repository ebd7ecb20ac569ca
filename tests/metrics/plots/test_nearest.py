import numpy as np
import pytest
from sklearn import config_context

from sklhash import pack_codes
from sklhash.metrics.plots.nearest import nearest_codes


def ranked(query, database, own=None):
    """Sort pairs of distance and index."""
    pairs = ((int((query != code).sum()), j) for j, code in enumerate(database))
    return sorted(pair for pair in pairs if pair[1] != own)


@pytest.mark.parametrize("n_bits", [3, 64, 300])
@pytest.mark.parametrize("working_memory", [0.001, 1024])
def test_the_nearest_codes_come_by_distance_then_index(n_bits, working_memory):
    rng = np.random.default_rng(0)
    database = rng.integers(2, size=(60, n_bits))
    packed = pack_codes(database)
    own = np.array([3, 50, 0, 3])
    with config_context(working_memory=working_memory):
        found = nearest_codes(packed[own], packed, 7)
        without_own = nearest_codes(packed[own], packed, 59, own)
    for i, row in enumerate(own):
        pairs = list(zip(*(part[i].tolist() for part in found), strict=True))
        assert pairs == ranked(database[row], database)[:7]
        pairs = list(zip(*(part[i].tolist() for part in without_own), strict=True))
        assert pairs == ranked(database[row], database, own=row)
