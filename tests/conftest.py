"""Set up what has to be set before scipy and numba are imported."""

import hashlib
import os
import tempfile
from pathlib import Path

# Without it scikit-learn skips its array API check.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# Numba's cache does not see a change in a kernel that another file's kernel calls.
kernels = sorted((Path(__file__).parents[1] / "sklhash" / "_kernels").glob("*.py"))
sources = b"".join(path.read_bytes() for path in kernels)
cache = f"sklhash-numba-{hashlib.sha256(sources).hexdigest()[:16]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / cache))
