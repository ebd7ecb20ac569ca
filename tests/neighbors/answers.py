"""What searches answer, asked in all ways, so that two can be compared."""

import numpy as np
from scipy import sparse

from tests.persistence.same import assert_same


def assert_all_alike(found, expected, queries, query_y):
    """Ask two searches that hold the same all that there is to ask."""
    rng, live = np.random.default_rng(3), expected.live_
    mask = rng.random(len(live)) < 0.2
    indices = rng.permutation(np.flatnonzero(live))[:40]

    def assert_alike(ask, *args, **kwargs):
        assert_same(ask(found, *args, **kwargs), ask(expected, *args, **kwargs))

    for where in (None, mask, indices):
        assert_alike(answers, queries, where=where)
    for where in (None, mask):
        assert_alike(answers, None, where=where)
    for asked in (queries, None) if live.all() else (queries,):
        assert_alike(graphs, asked)
    assert_alike(contents)
    assert_alike(lambda search: (search.pack(queries), search.transform(queries)))
    assert_alike(lambda search: search.score(queries, query_y))


def answers(search, queries, k=5, radius=3, where=None):
    """Ask for neighbours by all methods that search among some codes."""
    asked = {"X": queries, "where": where}
    within = search.radius_neighbors(**asked, radius=radius)
    unsorted = search.radius_neighbors(
        **asked, radius=radius, sort_results=False, return_distance=False
    )
    return {
        "nearest": search.kneighbors(**asked, n_neighbors=k),
        "indices": search.kneighbors(**asked, n_neighbors=k, return_distance=False),
        "within": [in_a_row(arrays) for arrays in (*within, unsorted)],
        "counts": search.count_within(**asked, radius=radius),
    }


def in_a_row(arrays):
    """Return what an array of arrays holds in few parts, which compare quickly."""
    values = np.concatenate([np.empty(0, np.int32), *arrays])
    lengths = [len(array) for array in arrays]
    dtypes = {array.dtype.str for array in arrays}
    return arrays.dtype, arrays.shape, values, np.array(lengths), sorted(dtypes)


def graphs(search, queries, k=5, radius=3):
    """Ask for all graphs."""
    found = {}
    for mode in ("connectivity", "distance"):
        found[f"nearest, {mode}"] = search.kneighbors_graph(queries, k, mode)
        for by_distance in (True, False):
            found[f"within, {mode}, {by_distance}"] = search.radius_neighbors_graph(
                queries, radius, mode, by_distance
            )
    return found


def contents(search):
    """Ask what is stored."""
    names = ("n_features_in_", "n_samples_fit_", "n_live_", "live_", "codes_", "y_")
    live = map(as_dense, search.live_items())
    return {**{name: getattr(search, name) for name in names}, "live": list(live)}


def as_dense(items):
    """Return codes or labels, of shards too, as an array."""
    return items.toarray() if sparse.issparse(items) else np.asarray(items)
