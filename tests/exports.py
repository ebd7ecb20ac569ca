"""What torch's exports warn of, whatever they export."""

import pytest

EXPORT_WARNINGS = [
    pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning"),
    # Of widths of layers, which are the same for all rows.
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean"),
]
