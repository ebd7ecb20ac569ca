"""What searches answer, asked in all ways, so that two can be compared."""

import numpy as np
from scipy import sparse


def answers(search, queries, k=5, radius=3, where=None):
    """Ask for neighbours by all methods that search among some codes."""
    asked = {"X": queries, "where": where}
    return {
        "nearest": search.kneighbors(**asked, n_neighbors=k),
        "indices": search.kneighbors(**asked, n_neighbors=k, return_distance=False),
        "within": search.radius_neighbors(**asked, radius=radius),
        "unsorted": search.radius_neighbors(
            **asked, radius=radius, sort_results=False, return_distance=False
        ),
        "counts": search.count_within(**asked, radius=radius),
    }


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
