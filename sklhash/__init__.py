"""Learning to hash, the scikit-learn way."""

from sklhash.codes import (
    code_statistics,
    hamming_distances,
    pack_codes,
    unpack_codes,
)
from sklhash.feature_extraction import PathLoader, TorchFeatureExtractor
from sklhash.hashers import (
    CNNH,
    DPSH,
    DSDH,
    DSRH,
    ITQ,
    KSH,
    LSH,
    NINH,
    NSH,
    PCAH,
    SDH,
    BaseHasher,
    CIBHash,
    DeepHasher,
    HashLoss,
    HashNet,
    OrthoHash,
    SpectralHashing,
)
from sklhash.metrics import (
    make_retrieval_scorer,
    map_scorer,
    mean_average_precision_score,
    retrieval_report,
)
from sklhash.model_selection import RetrievalShuffleSplit, query_database_split
from sklhash.neighbors import HammingNeighbors, HashedNeighbors
from sklhash.persistence import load, save
from sklhash.stores import CodeStore

__version__ = "0.1.0"

__all__ = [
    "CNNH",
    "DPSH",
    "DSDH",
    "DSRH",
    "ITQ",
    "KSH",
    "LSH",
    "NINH",
    "NSH",
    "PCAH",
    "SDH",
    "BaseHasher",
    "CIBHash",
    "CodeStore",
    "DeepHasher",
    "HammingNeighbors",
    "HashLoss",
    "HashNet",
    "HashedNeighbors",
    "OrthoHash",
    "PathLoader",
    "RetrievalShuffleSplit",
    "SpectralHashing",
    "TorchFeatureExtractor",
    "code_statistics",
    "hamming_distances",
    "load",
    "make_retrieval_scorer",
    "map_scorer",
    "mean_average_precision_score",
    "pack_codes",
    "query_database_split",
    "retrieval_report",
    "save",
    "unpack_codes",
]
