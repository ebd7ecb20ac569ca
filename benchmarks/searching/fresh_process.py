"""Import sklhash, fit a search and call a method of it twice; print the CPU seconds.

A script of its own, for a process in which nothing has been imported or compiled:

    python fresh_process.py {kneighbors,radius_neighbors}
"""

import json
import sys
import time

marks = [time.process_time()]
import sklhash  # noqa: E402

marks.append(time.process_time())
import numpy as np  # noqa: E402

rng = np.random.default_rng(0)
codes, queries = (rng.integers(256, size=(n, 8), dtype=np.uint8) for n in (100_000, 32))

marks.append(time.process_time())
search = sklhash.HammingNeighbors(packed=True).fit(codes)
marks.append(time.process_time())
for _ in range(2):
    getattr(search, sys.argv[1])(queries)
    marks.append(time.process_time())

imported, _, fitted, called_first, called_again = np.diff(marks)
print(json.dumps([imported, fitted, called_first, called_again]))
