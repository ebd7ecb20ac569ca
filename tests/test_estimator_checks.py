"""Every check that scikit-learn has for estimators, none skipped, none failing."""

from collections import Counter

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import check_estimator

from sklhash import HammingNeighbors
from tests.hashers.methods import HASHERS
from tests.hashers.test_custom_method import PairHash

N_SUPERVISED, N_UNSUPERVISED = 47, 46
ESTIMATORS = [
    *(cls() for cls in HASHERS),
    PairHash(),
    HammingNeighbors(threshold=0.0),
]
# Public checks that check_estimator does not run.
FURTHER_CHECKS = [
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_every_estimator_check_passes(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    problems = {
        r["check_name"]: r["exception"] for r in results if r["status"] != "passed"
    }
    assert problems == {}
    required = get_tags(estimator).target_tags.required
    expected = N_SUPERVISED if required else N_UNSUPERVISED
    assert Counter(r["status"] for r in results) == {"passed": expected}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", FURTHER_CHECKS)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_further_checks_pass(estimator, check):
    getattr(estimator_checks, check)(
        type(estimator).__name__, trained_briefly(estimator)
    )


def trained_briefly(estimator):
    if "max_epochs" not in estimator.get_params():
        return estimator
    return clone(estimator).set_params(max_epochs=2)
