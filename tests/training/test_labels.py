import numpy as np
import pytest
import torch
from sklearn import config_context

from sklhash.targets import encode_targets
from sklhash.training.labels import LabelTable

CLASSES = np.random.default_rng(0).integers(4, size=30)
SEVERAL = np.random.default_rng(1).integers(2, size=(30, 5))


@pytest.mark.parametrize("index", [[0], [7, 3, 3, 29], []], ids=str)
@pytest.mark.parametrize("working_memory", [0, 1])
@pytest.mark.parametrize("labels", [CLASSES, SEVERAL], ids=["classes", "several"])
def test_labels_of_a_batch_are_rows_of_the_indicator(labels, working_memory, index):
    indicator = np.eye(4)[labels] if labels.ndim == 1 else labels
    with config_context(working_memory=working_memory):
        table = LabelTable(encode_targets(labels))
    got = table[torch.tensor(index, dtype=torch.int64)]
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got, indicator[np.array(index, dtype=int)])
