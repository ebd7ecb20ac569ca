"""Valid calls of hashers, searches, extractors, splitters and their helpers."""

import numpy as np
from torch import nn

import sklhash
from sklhash import (
    HammingNeighbors,
    HashedNeighbors,
    PathLoader,
    RetrievalShuffleSplit,
    TorchFeatureExtractor,
)
from sklhash.training.augment import FeatureDropout, FeatureMixup, GaussianNoise
from sklhash.training.checkpoints import Checkpoint
from sklhash.training.heads import HashHead
from tests.calls.data import (
    A_LABEL_TOO_FEW,
    CODES,
    COUNTS,
    FILE,
    FLAGS,
    IGNORED_Y,
    IMAGE,
    INFINITY,
    LABELS,
    NAN,
    NEW_CODES,
    NEW_X,
    NOT_CODES,
    NOT_FINITE,
    STORE,
    Call,
    X,
    Y,
    fit,
    fitted,
    method,
    saved,
    stored,
    unfitted,
)

__all__ = ["ESTIMATORS"]

HASHERS = {
    "BaseHasher.decision_function": Call(
        method("LSH", "decision_function"), {"X": X}, NEW_X
    ),
    "BaseHasher.score": Call(
        method("LSH", "score"), {"X": X, "y": Y}, {**NEW_X, **LABELS}
    ),
    "BaseHasher.transform": Call(method("LSH", "transform"), {"X": X}, NEW_X),
    "DSDH.predict": Call(method("DSDH", "predict"), {"X": X}, NEW_X),
    "SDH.predict": Call(method("SDH", "predict"), {"X": X}, NEW_X),
    "OrthoHash.predict": Call(method("OrthoHash", "predict"), {"X": X}, NEW_X),
    "OrthoHash.adapt_batch_norm": Call(
        method("OrthoHash", "adapt_batch_norm"), {"X": X}, NEW_X
    ),
    "ITQ.fit": Call(fit("ITQ"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y),
    "LSH.fit": Call(fit("LSH"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y),
    "LSH.partial_fit": Call(
        fit("LSH", "partial_fit"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y
    ),
    "PCAH.fit": Call(fit("PCAH"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y),
    "PCAH.partial_fit": Call(
        fit("PCAH", "partial_fit"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y
    ),
    "SpectralHashing.fit": Call(
        fit("SpectralHashing"), {"X": X}, {"X": [NOT_FINITE]}, IGNORED_Y
    ),
    "AnchorHasher.fit": Call(
        fit("SDH"), {"X": X, "y": Y}, {"X": [NOT_FINITE], **LABELS}
    ),
    "DeepHasher.fit": Call(
        fit("OrthoHash"), {"X": X, "y": Y}, {"X": [NOT_FINITE], **LABELS}
    ),
    "DeepHasher.partial_fit": Call(
        fit("OrthoHash", "partial_fit"),
        {"X": X, "y": Y},
        {
            "X": [NOT_FINITE],
            **LABELS,
            "classes": [[0], 3, [[0, 1]], ["a", "b"]],
            "n_epochs": COUNTS,
        },
    ),
    "PairwiseHasher.fit": Call(
        fit("HashNet"),
        {"X": X, "pairs": ([0, 1], [1, 2], [0, 1])},
        {
            "X": [NOT_FINITE],
            "y": [Y],
            "pairs": [
                ([0], [1]),
                ([0, 1], [1, 2], [0, 2]),
                ([0, 1], [1, 99], [0, 1]),
                ([0.5, 1], [1, 2], [0, 1]),
            ],
        },
    ),
    "ContrastiveHasher.fit": Call(
        lambda: unfitted("CIBHash").set_params(validation_fraction=0.5).fit,
        {"X": X, "y": Y},
        {"X": [NOT_FINITE], **LABELS},
    ),
    "ContrastiveHasher.partial_fit": Call(
        fit("CIBHash", "partial_fit"),
        {"X": X},
        {"X": [NOT_FINITE], "n_epochs": COUNTS},
        IGNORED_Y,
    ),
}

WHERE = [np.ones(3, dtype=bool), [99], [-1], [0, 0], [0.5], "where", [[0]], 3]
SEARCH = {
    **NEW_CODES,
    "n_neighbors": [*COUNTS, 25],
    "radius": [-1, 2.0, True, "2", [2]],
    "return_distance": FLAGS,
    "sort_results": FLAGS,
    "mode": ["distances", 1, ["distance"]],
    "where": WHERE,
}
REMOVED = [[99], [-1], [0, 0], [0.5], "indices", [[0]], 3, [True, False]]
SEARCHES = {
    **{
        f"HammingNeighbors.{name}": Call(
            method("HammingNeighbors", name), {"X": CODES[:3]}, SEARCH
        )
        for name in (
            *("count_within", "kneighbors", "kneighbors_graph"),
            *("radius_neighbors", "radius_neighbors_graph", "transform"),
        )
    },
    "HammingNeighbors.score": Call(
        method("HammingNeighbors", "score"),
        {"X": CODES, "y": Y},
        {**NEW_CODES, "y": [A_LABEL_TOO_FEW]},
    ),
    "StoredCodes.as_bit_strings": Call(
        method("HammingNeighbors", "as_bit_strings"), {"X": CODES}, NEW_CODES
    ),
    "StoredCodes.fit": Call(
        lambda: HammingNeighbors().fit,
        {"X": CODES, "y": Y},
        {"X": [NOT_CODES, CODES[0]], "y": [A_LABEL_TOO_FEW]},
    ),
    HammingNeighbors.load.__qualname__: Call(
        lambda: saved(HammingNeighbors).load,
        {"path": FILE},
        {"mmap_mode": ["w", "r+", True], "path": [3, None], "verify": FLAGS},
    ),
    "StoredCodes.pack": Call(
        method("HammingNeighbors", "pack"), {"X": CODES}, NEW_CODES
    ),
    "StoredCodes.partial_fit": Call(
        method("HammingNeighbors", "partial_fit"),
        {"X": CODES, "y": Y},
        {**NEW_CODES, "y": [A_LABEL_TOO_FEW, None, Y.astype(str)]},
    ),
    "StoredCodes.remove": Call(
        method("HammingNeighbors", "remove"), {"indices": [1]}, {"indices": REMOVED}
    ),
    HammingNeighbors.save.__qualname__: Call(
        method("HammingNeighbors", "save"), {"path": FILE}, {"path": [3, None]}
    ),
}

SEARCH_OF_FEATURES = {**SEARCH, **NEW_X}
SEARCHES |= {
    f"HashedNeighbors.{name}": Call(
        method("HashedNeighbors", name), {"X": X[:3]}, SEARCH_OF_FEATURES
    )
    for name in ("kneighbors", "pack", "radius_neighbors")
}
SEARCHES |= {
    "HashedNeighbors.add": Call(
        method("HashedNeighbors", "add"),
        {"X": X, "y": Y},
        {**NEW_X, "y": [A_LABEL_TOO_FEW, None, Y.astype(str)]},
    ),
    "HashedNeighbors.fit": Call(
        lambda: HashedNeighbors(unfitted("LSH")).fit,
        {"X": X, "y": Y},
        {"X": [NOT_FINITE], "y": [A_LABEL_TOO_FEW]},
    ),
    "HashedNeighbors.remove": Call(
        method("HashedNeighbors", "remove"), {"indices": [1]}, {"indices": REMOVED}
    ),
    "HashedNeighbors.score": Call(
        method("HashedNeighbors", "score"), {"X": X, "y": Y}, {**NEW_X, **LABELS}
    ),
}

SHARD = {"shard": [1, -1, 0.0, "0", True, None]}
OPTIONS = ["options", [1], 3]
STORES = {
    "BaseHasher.encode_to": Call(
        method("LSH", "encode_to"),
        {"store": STORE, "chunks": X},
        {
            "store": [3, None, b"store"],
            "chunks": [NOT_FINITE, X[:, 1:], X[:0], [X[:0]], [X[0]], 3, "rows", None],
            "ids": [A_LABEL_TOO_FEW, Y + 0.5, "ids", [None] * 24],
            "format": ["csv", 1, None],
            "shard_size": COUNTS,
            "verify": FLAGS,
            "storage_options": OPTIONS,
        },
    ),
    "CodeStore": Call(
        lambda: sklhash.CodeStore,
        {"path": stored().path},
        {
            "path": [3, None, b"store"],
            "mmap_mode": ["c", "r+", True],
            "storage_options": OPTIONS,
        },
    ),
    "CodeStore.codes": Call(lambda: stored().codes, {"shard": 0}, SHARD),
    "CodeStore.ids": Call(lambda: stored().ids, {"shard": 0}, SHARD),
    "CodeStore.ids_at": Call(
        lambda: stored().ids_at,
        {"indices": [0]},
        {"indices": [[24], [-1], [0.5], "all", [True], 24, None]},
    ),
    "CodeStore.reader": Call(lambda: stored().reader, {"shard": 0}, SHARD),
}

FILES = {"X": [[3], IMAGE]}
EXTRACTORS = {
    "PathLoader.fit": Call(lambda: PathLoader().fit, {"X": [IMAGE]}, FILES, IGNORED_Y),
    "PathLoader.transform": Call(lambda: PathLoader().transform, {"X": [IMAGE]}, FILES),
    "TorchFeatureExtractor.fit": Call(
        lambda: TorchFeatureExtractor(nn.Linear(6, 2), device="cpu").fit,
        {"X": X},
        {"X": [NOT_FINITE]},
        IGNORED_Y,
    ),
    "TorchFeatureExtractor.transform": Call(
        method("TorchFeatureExtractor", "transform"), {"X": X}, {"X": [NOT_FINITE]}
    ),
}

HELPERS = {
    "Checkpoint": Call(lambda: Checkpoint, {"path": "runs"}, {"every": COUNTS}),
    "FeatureDropout": Call(lambda: FeatureDropout, {}, {"rate": [-0.1, 1.1, NAN]}),
    "FeatureMixup": Call(lambda: FeatureMixup, {}, {"share": [-0.1, 1.1, NAN]}),
    "GaussianNoise": Call(lambda: GaussianNoise, {}, {"std": [-1, INFINITY, NAN]}),
    "HashHead": Call(
        lambda: HashHead,
        {"n_features": 6, "n_bits": 4},
        {
            "n_features": COUNTS,
            "n_bits": COUNTS,
            "hidden_layer_sizes": [[0], [True], [2.0], 8],
            "batch_norm": FLAGS,
        },
    ),
}

SPLITS = {
    "RetrievalShuffleSplit": Call(lambda: RetrievalShuffleSplit),
    "RetrievalShuffleSplit.split": Call(
        lambda: (
            lambda **arguments: next(
                RetrievalShuffleSplit(n_query_per_class=2).split(**arguments)
            )
        ),
        {"X": X, "y": Y},
        {"y": [A_LABEL_TOO_FEW, None, Y + 0.5]},
        {"groups": "is ignored, with a warning"},
    ),
    "RetrievalShuffleSplit.get_n_splits": Call(
        lambda: RetrievalShuffleSplit().get_n_splits,
        ignored=dict.fromkeys(("X", "y", "groups"), "is not needed, and ignored"),
    ),
    "query_database_split": Call(
        lambda: sklhash.query_database_split,
        {"y": Y, "n_query_per_class": 2, "n_train_per_class": 3},
        {"y": [None, Y + 0.5], "query_pool": [[99], [-1], [0.5], "rows", [True]]},
    ),
}
FILES_OF_MODELS = {
    "save": Call(
        lambda: sklhash.save,
        {"estimator": fitted("OrthoHash"), "path": FILE},
        {"estimator": [sklhash.LSH, 3, None], "path": [3, None]},
    ),
    "load": Call(
        lambda: saved(HammingNeighbors) and sklhash.load,
        {"path": FILE},
        {
            "path": [3, None],
            "device": ["abacus", "cuda:99", 3],
            "mmap_mode": ["w", "r+", True],
            "verify": FLAGS,
            "trusted": [[3], "LSH", None, [None]],
        },
    ),
}
ESTIMATORS = {
    **HASHERS,
    **SEARCHES,
    **STORES,
    **EXTRACTORS,
    **HELPERS,
    **SPLITS,
    **FILES_OF_MODELS,
}
