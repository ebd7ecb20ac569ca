"""Encode a memory-mapped file with little memory; print the megabytes it took.

    python little_memory.py HASHER X.npy MEGABYTES

The process may take so much for data, over what it has when it begins to encode, and
breaks off if that is not enough. What it took is the growth of its address space, in
which the file lies already.
"""

import json
import re
import resource
import sys
from pathlib import Path

import joblib
import numpy as np


def megabytes(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 2**10


hasher = joblib.load(sys.argv[1])
X = np.load(sys.argv[2], mmap_mode="r")
hasher.transform(X[:1])  # starts the threads
limit = megabytes("VmData") + float(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (int(limit * 2**20), -1))
before = megabytes("VmSize")
hasher.transform(X)
print(json.dumps(max(0.0, megabytes("VmPeak") - before)))
