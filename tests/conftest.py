"""Set up what has to be set before numpy, scipy, torch and numba are imported."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

# Without it scikit-learn skips its array API check.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# Numba's cache does not see a change in a kernel that another file's kernel calls.
kernels = sorted((Path(__file__).parents[1] / "sklhash" / "_kernels").glob("*.py"))
sources = b"".join(path.read_bytes() for path in kernels)
cache = f"sklhash-numba-{hashlib.sha256(sources).hexdigest()[:16]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / cache))

pytest_plugins = ["tests.clusters", "tests.separate_hosts"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Test in as many processes as there are cores, but each takes two gigabytes."""
    from joblib import cpu_count

    return min(cpu_count(), 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Let processes side by side leave the cores to each other, from their start."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _as_many_threads_as_before():
    """Undo what tests do to the threads of torch, and of MKL, which follows torch."""
    import torch

    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def make_accelerator():
    """Make accelerators, of which a process may have only one kind at a time."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield lambda **kwargs: Accelerator(cpu=True, **kwargs)
    AcceleratorState._reset_state(reset_partial_state=True)
