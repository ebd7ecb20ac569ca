"""Set up before scipy is imported: scikit-learn skips its array API check otherwise."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")
