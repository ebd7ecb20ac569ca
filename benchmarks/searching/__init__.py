"""The parts of search.py, one idea a file, and one thread for all that they import.

Libraries read the number of threads when they are loaded, so it is set before.
"""

import os

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
