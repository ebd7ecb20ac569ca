"""What a model says of some rows, as JSON can hold it."""

import numpy as np

from sklhash import HammingNeighbors, HashedNeighbors

ATTRIBUTES = ("classes_", "n_bits_", "n_features_in_", "n_iter_", "n_samples_fit_")


def answers(estimator, X):
    """Return parameters, attributes, codes or neighbours of an estimator."""
    parameters = estimator.get_params(deep=False)
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    return {
        "class": type(estimator).__name__,
        "parameters": {
            name: repr(value)
            for name, value in parameters.items()
            if isinstance(value, (bool, int, float, str, tuple, type(None)))
        },
        "attributes": {
            name: np.asarray(getattr(last, name)).tolist()
            for name in ATTRIBUTES
            if hasattr(last, name)
        },
        **(found(estimator, last, X) if is_search(last) else codes(estimator, X)),
    }


def is_search(estimator):
    return isinstance(estimator, (HammingNeighbors, HashedNeighbors))


def codes(estimator, X):
    return {"values": estimator.decision_function(X).astype(float).round(4).tolist()}


def found(estimator, last, X):
    """Neighbours of a few queries; of codes alone, those that are there."""
    queries = X
    if last is not estimator:
        queries = estimator[:-1].transform(X)
    elif isinstance(last, HammingNeighbors):
        queries = last.codes_[[0, 4, 50, 59]]
        queries = np.unpackbits(queries, axis=1, bitorder="little")
    distances, indices = last.kneighbors(queries)
    return {
        "distances": distances.astype(float).round(4).tolist(),
        "indices": indices.tolist(),
    }
