"""What cannot be written without code is refused, and the earlier file stays."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

import sklhash
from sklhash import ITQ, LSH, HammingNeighbors, HashedNeighbors, OrthoHash
from tests.hashers.methods import HASHERS
from tests.ids import plain
from tests.persistence.small import X, small, y

CODES = np.random.default_rng(0).integers(2, size=(4, 8), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    """A file that was there before."""
    path = tmp_path / "model.sklhash"
    sklhash.save(small(LSH).fit(X), path)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    "estimator",
    [
        *(cls() for cls in HASHERS),
        HammingNeighbors(),
        HashedNeighbors(LSH()),
        make_pipeline(PCA(), LSH()),
        make_pipeline(PCA().fit(X), LSH()),
        make_pipeline("passthrough", PCA()),
        HashedNeighbors(LSH(8).fit(X)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_is_not_fitted(estimator, path):
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        sklhash.save(estimator, path)


def hooked():
    module = nn.Sequential(nn.Linear(12, 3))
    module[0].register_forward_hook(lambda *_: None)
    return module


class Holding(nn.Module):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, x):
        return x


class Ignored(Callback):
    """Does nothing."""


def normalized():
    return nn.utils.parametrizations.spectral_norm(nn.Linear(12, 12))


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"callbacks": [Ignored()]}, r"callbacks\.0 .*Ignored"),
        ({"lr_schedule": lambda epoch, _: 1.0}, "lr_schedule .*lambda"),
        ({"augment": lambda x: x}, "augment.* .*lambda"),
        ({"backbone": lambda: nn.Identity()}, "backbone .*lambda"),
        ({"backbone": partial(nn.Linear, 12, 3)}, "backbone .*partial"),
        ({"backbone": hooked()}, r"backbone\.0 .*without hooks"),
        ({"backbone": Holding(lambda: 3)}, r"backbone\.kept .*lambda"),
        ({"backbone": Holding({"a": [3, {4}]})}, r"backbone\.kept\.a\.1 .*\{4\}"),
        ({"backbone": Holding(1j)}, r"backbone\.kept .*1j"),
        ({"backbone": Holding(LogisticRegression())}, r"backbone\.kept .*Logistic"),
        ({"backbone": Holding(torch.Generator())}, r"backbone\.kept .*Generator"),
        ({"backbone": normalized()}, "backbone .* found again .*ParametrizedLinear"),
    ],
    ids=lambda value: plain(value)[:40] if isinstance(value, dict) else None,
)
def test_parameters_that_are_code(parameters, name, path):
    hasher = small(OrthoHash, **parameters).fit(X, y)
    with pytest.raises(TypeError, match=f"OrthoHash.{name}"):
        sklhash.save(hasher, path)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (LogisticRegression().fit(X, y), "LogisticRegression .*scikit-learn's"),
        (make_pipeline(TruncatedSVD(), LSH(8)).fit(X), "Pipeline.*TruncatedSVD"),
        (
            HashedNeighbors(make_pipeline(TruncatedSVD(), LSH(8))).fit(X),
            "HashedNeighbors.*TruncatedSVD",
        ),
        (OrthoHash, r"estimator.* must be an instance of 'sklearn"),
        ({"a": 1}, r"estimator.* must be an instance of 'sklearn"),
        (nn.Linear(2, 2), r"estimator.* must be an instance of 'sklearn"),
    ],
    ids=plain,
)
def test_estimators_of_others(estimator, name, path):
    with pytest.raises(TypeError, match=name):
        sklhash.save(estimator, path)


@pytest.mark.parametrize(
    "y",
    [
        np.array(["2020-01-01"] * 4, dtype="M8[D]"),
        np.array([1, 2, 3, 4], dtype="m8[s]"),
        np.array([1j] * 4),
        np.array([b"bytes"] * 4),
        np.arange(4, dtype=np.longdouble),
        sparse.csr_array(np.eye(4, dtype=complex)),
        np.array(["a", None, "b", "c"], dtype=object),
        np.array(["a", 1, "b", "c"], dtype=object),
        np.array(["a", np.nan, "b", "c"], dtype=object),
    ],
    ids=lambda y: str(y.dtype) + str(y[0])[:8],
)
def test_labels_of_other_kinds(y, path):
    search = HammingNeighbors().fit(CODES, y)
    with pytest.raises(TypeError, match=r"HammingNeighbors\.y.* must .*saved, got"):
        sklhash.save(search, path)
    with pytest.raises(TypeError, match=r"HammingNeighbors\.y.* must .*saved, got"):
        search.save(path)


def test_tables_whose_columns_have_other_names(path):
    frame = pd.DataFrame(X[:, :2], columns=pd.to_datetime(["2020-01-01", "2021-01-01"]))
    index = HashedNeighbors(small(ITQ, 2)).fit(frame)
    with pytest.raises(TypeError, match=r"HashedNeighbors\._probe\.columns"):
        sklhash.save(index, path)


@pytest.mark.parametrize("where", [3, None, b"model", 2.5])
def test_what_is_no_path(where):
    hasher = small(LSH).fit(X)
    for use in (lambda: sklhash.save(hasher, where), lambda: sklhash.load(where)):
        with pytest.raises(TypeError, match=r"path.* must be"):
            use()


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory"):
        sklhash.save(small(LSH).fit(X), tmp_path)
    with pytest.raises(FileNotFoundError):
        sklhash.save(small(LSH).fit(X), tmp_path / "nowhere" / "model")
    assert [*tmp_path.iterdir()] == []
