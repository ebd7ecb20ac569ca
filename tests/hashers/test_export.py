"""The fitted network outside of the library."""

import copy
from collections import namedtuple

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklhash import NINH, HashNet, OrthoHash, unpack_codes
from sklhash.training.heads import HashHead
from tests.exports import EXPORT_WARNINGS
from tests.hashers.methods import DEEP_HASHERS, make

pytestmark = EXPORT_WARNINGS

Fitted = namedtuple("Fitted", "hasher rows values network")

ROUNDING = 1e-5
OPEN_BATCH = ({0: torch.export.Dim("n_rows")},)


def fitted(hasher, rows, y):
    hasher.fit(rows, y)
    network = copy.deepcopy(hasher.net_.module_).eval()
    values = hasher.decision_function(rows)
    return Fitted(hasher, torch.from_numpy(rows), values, network)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300].astype(np.float32), y[:300]


@pytest.fixture(scope="module", params=DEEP_HASHERS, ids=lambda cls: cls.__name__)
def each(request, digits):
    """Each deep hasher, with fewer bits than matrix products have columns."""
    return fitted(make(request.param, 12), *digits)


@torch.no_grad()
def assert_gives(module, rows, values):
    """Check values of all rows and of one, for batches of any height."""
    for stop in (len(rows), 1):
        np.testing.assert_allclose(
            module(rows[:stop]).numpy(), values[:stop], rtol=0, atol=ROUNDING
        )


def test_the_network_is_a_plain_head(each):
    assert isinstance(each.network, HashHead)
    for part in each.network.modules():
        assert type(part).__module__.startswith(("torch.nn.modules.", "sklhash."))
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
    assert {type(p) for p in each.network.parameters()} == {nn.Parameter}
    assert_gives(each.network, each.rows, each.values)


def test_its_state_loads_into_a_fresh_head(each, tmp_path):
    torch.save(each.network.state_dict(), tmp_path / "head.pt")
    head = each.hasher._make_head(each.rows.shape[1])
    head.load_state_dict(torch.load(tmp_path / "head.pt", weights_only=True))
    assert_gives(head.eval(), each.rows, each.values)


def test_it_can_be_traced(each, tmp_path):
    torch.jit.trace(each.network, each.rows[:2]).save(tmp_path / "traced.pt")
    assert_gives(torch.jit.load(tmp_path / "traced.pt"), each.rows, each.values)


def test_it_can_be_exported(each):
    program = torch.export.export(
        each.network, (each.rows[:2],), dynamic_shapes=OPEN_BATCH
    )
    assert_gives(program.module(), each.rows, each.values)


def small_backbone():
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten())


@pytest.mark.parametrize(
    ("hasher", "shape"),
    [
        (make(OrthoHash, 20), (64,)),
        (make(NINH, 12), (64,)),
        (make(HashNet, 20, backbone=small_backbone), (1, 8, 8)),
        (make(HashNet, 20, backbone=small_backbone, backbone_lr_scale=0), (1, 8, 8)),
    ],
    ids=["OrthoHash", "NINH", "backbone", "frozen backbone"],
)
def test_onnx_gives_the_same_codes(hasher, shape, digits, tmp_path):
    X, y = digits
    _, rows, values, network = fitted(hasher, X.reshape(-1, *shape), y)
    torch.onnx.export(
        network,
        (rows[:2],),
        tmp_path / "hasher.onnx",
        input_names=["x"],
        dynamic_shapes=OPEN_BATCH,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "hasher.onnx")

    def run(x):
        return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])

    assert_gives(run, rows, values)
    packed = np.packbits(run(rows).numpy() > 0, axis=1, bitorder="little")
    codes = hasher.set_params(packed=True).transform(rows)
    bits, expected = (unpack_codes(p, hasher.n_bits) for p in (packed, codes))
    assert (np.abs(values[bits != expected]) < ROUNDING).all()
    assert codes.shape == packed.shape
