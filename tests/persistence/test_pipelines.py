"""Pipelines of scikit-learn's transformers and hashers come back from a file."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

import sklhash
from sklhash import ITQ, LSH, HammingNeighbors, OrthoHash
from tests.persistence.same import assert_same, saved
from tests.persistence.small import X, small, y

SPARSE = sparse.csr_array(np.where(X > 0, X, 0))
DTYPES = [np.float32, np.float64]


def assert_alike(found, wanted, rows):
    assert_same(found, wanted)
    assert_same(found.transform(rows), wanted.transform(rows))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_std", [True, False])
@pytest.mark.parametrize("with_mean", [True, False])
def test_standard_scaler(with_mean, with_std, dtype, tmp_path):
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std)
    pipeline = make_pipeline(scaler, small(ITQ)).fit(X.astype(dtype))
    loaded = saved(pipeline, tmp_path)
    assert_alike(loaded, pipeline, X.astype(dtype))
    for model in (loaded, pipeline):
        model[0].partial_fit(X.astype(dtype) + 1)
    assert_alike(loaded, pipeline, X.astype(dtype))


def test_standard_scaler_of_missing_values(tmp_path):
    rows = np.where(X > 2, np.nan, X)
    pipeline = make_pipeline(StandardScaler(), "passthrough").fit(rows)
    assert isinstance(pipeline[0].n_samples_seen_, np.ndarray)
    assert_alike(saved(pipeline, tmp_path), pipeline, rows)


@pytest.mark.parametrize(
    "scaler", [StandardScaler(with_mean=False), Normalizer("l1"), Normalizer("max")]
)
def test_sparse_features(scaler, tmp_path):
    pipeline = make_pipeline(scaler, small(LSH)).fit(SPARSE)
    assert_alike(saved(pipeline, tmp_path), pipeline, SPARSE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("feature_range", [(0, 1), (-0.5, 2.5)])
def test_min_max_scaler(feature_range, clip, dtype, tmp_path):
    scaler = MinMaxScaler(feature_range, clip=clip)
    pipeline = make_pipeline(scaler, small(ITQ)).fit(X[:30].astype(dtype))
    assert_alike(saved(pipeline, tmp_path), pipeline, X.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize(
    ("n_components", "svd_solver"),
    [
        (None, "auto"),
        (8, "full"),
        (8, "covariance_eigh"),
        (8, "arpack"),
        (8, "randomized"),
        (0.9, "full"),
        ("mle", "full"),
    ],
)
def test_pca(n_components, svd_solver, whiten, dtype, tmp_path):
    pca = PCA(n_components, whiten=whiten, svd_solver=svd_solver, random_state=0)
    pipeline = make_pipeline(pca, small(LSH)).fit(X.astype(dtype))
    assert_alike(saved(pipeline, tmp_path), pipeline, X.astype(dtype))
    loaded = saved(make_pipeline(pca), tmp_path)
    values = loaded.transform(X.astype(dtype))
    assert_same(
        loaded.inverse_transform(values), make_pipeline(pca).inverse_transform(values)
    )


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
def test_a_whole_search(mmap_mode, tmp_path):
    pipeline = make_pipeline(
        StandardScaler(), PCA(9), Normalizer(), small(OrthoHash), HammingNeighbors(3)
    ).fit(X, y)
    loaded = saved(pipeline, tmp_path, mmap_mode=mmap_mode)
    assert_same(loaded, pipeline)
    assert loaded.score(X, y) == pipeline.score(X, y)
    assert_same(
        loaded[-1].kneighbors(loaded[:-1].transform(X)),
        pipeline[-1].kneighbors(pipeline[:-1].transform(X)),
    )
    assert_same(loaded.fit(X, y)[:-1].transform(X), pipeline[:-1].transform(X))


def test_steps_that_pass_and_pipelines_in_pipelines(tmp_path):
    inner = Pipeline([("scale", MinMaxScaler()), ("rest", "passthrough")])
    names = ["nothing", "none", "in", "hash"]
    steps = ["passthrough", None, inner, small(ITQ)]
    pipeline = Pipeline([*zip(names, steps, strict=True)], verbose=False).fit(X)
    loaded = saved(pipeline, tmp_path)
    assert_alike(loaded, pipeline, X)
    assert [*loaded.named_steps] == names


def test_names_and_the_form_of_the_output(tmp_path):
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(12)])
    pipeline = make_pipeline(StandardScaler(), PCA(9), small(ITQ))
    pipeline.set_output(transform="pandas").fit(frame)
    loaded = saved(pipeline, tmp_path)
    pd.testing.assert_frame_equal(loaded.transform(frame), pipeline.transform(frame))
    assert_same(loaded, pipeline)
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    "step", [StandardScaler(), MinMaxScaler(), Normalizer(), PCA(3)], ids=str
)
def test_a_step_may_be_saved_alone(step, tmp_path):
    assert_alike(saved(step.fit(X), tmp_path), step, X)


def test_what_is_read_can_be_changed(tmp_path):
    """Transformers change their arrays in place, which a mapped one could not."""
    pipeline = make_pipeline(StandardScaler(), small(ITQ)).fit(X)
    sklhash.save(pipeline, tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    loaded = sklhash.load(tmp_path / "model", mmap_mode="r")
    loaded[0].mean_ += 1
    loaded[1].components_[:] = 0
    assert (tmp_path / "model").read_bytes() == before


@pytest.mark.parametrize("svd_solver", ["full", "covariance_eigh", "randomized"])
def test_the_order_in_memory_comes_back_for_the_sake_of_the_last_bits(
    svd_solver, tmp_path
):
    pca = PCA(5, svd_solver=svd_solver, random_state=0).fit(X)
    loaded = saved(pca, tmp_path)
    strides = pca.components_.strides
    assert (loaded.components_.strides[0] < 20) == (strides[0] < strides[1])
    assert_alike(loaded, pca, X)


def test_what_cannot_be_loaded_for_its_depth_is_not_saved(tmp_path):
    deep = small(ITQ)
    for _ in range(7):
        deep = make_pipeline(deep)
    assert_alike(saved(deep.fit(X), tmp_path), deep, X)
    deeper = Pipeline([("deep", deep)])
    with pytest.raises(ValueError, match="innermost of more than 8 estimators"):
        sklhash.save(deeper, tmp_path / "deeper")
