"""What models answer, in a few digits; as a script, for the files of a folder.

It prints JSON: for each file the digest of the answers of what it holds, or why it was
refused, and which modules were imported meanwhile.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import sklhash
from sklhash import HammingNeighbors, HashedNeighbors


def rows():
    """Features that any process makes alike, (60, 12)."""
    return np.random.default_rng(5).standard_normal((60, 12)).astype(np.float32)


def digest(estimator):
    sha = hashlib.sha256()
    for answer in answers(estimator):
        sha.update(np.ascontiguousarray(answer).tobytes())
    return sha.hexdigest()


def answers(estimator):
    """Codes and real values of a hasher, distances and neighbours of a search."""
    X = rows()
    if isinstance(estimator, HashedNeighbors):
        return estimator.kneighbors(X, 5)
    if isinstance(estimator, HammingNeighbors):
        return estimator.kneighbors(estimator.codes_[:9], 5)
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    if isinstance(last, HammingNeighbors):
        return last.kneighbors(estimator[:-1].transform(X), 5)
    return estimator.transform(X), estimator.decision_function(X)


def main(folder):
    before = set(sys.modules)
    found = {}
    for path in sorted(Path(folder).glob("*.sklhash")):
        try:
            found[path.stem] = digest(sklhash.load(path, mmap_mode="r"))
        except ValueError as error:
            found[path.stem] = str(error)
    print(json.dumps({"found": found, "imported": sorted(set(sys.modules) - before)}))


if __name__ == "__main__":
    main(sys.argv[1])
