"""Kind of estimators: a class, its parameters and its fitted attributes."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.utils.validation import _is_fitted

from sklhash._state import (
    FEATURES,
    Checks,
    Storable,
    array_of,
    check_state,
    fitted_attributes,
    none_or,
    number,
    number_or_array_of,
    owned,
    size,
    word,
)
from sklhash.persistence.classes import is_known, name_of
from sklhash.persistence.values import Decoder, Encoder, Kind

__all__ = ["ESTIMATOR_KIND"]

_OUTPUT = "_sklearn_output_config"
_OUTPUTS = ({}, *({"transform": name} for name in ("default", "pandas", "polars")))

_per_feature = array_of("f", "n_features")
_per_component = array_of("f", "n_components")
_OF_SKLEARN: dict[type, Checks] = {
    Pipeline: {},
    FrozenEstimator: {},
    Normalizer: FEATURES,
    StandardScaler: {
        **FEATURES,
        "n_samples_seen_": number_or_array_of("iuf", "n_features"),
        "mean_": none_or(_per_feature),
        "var_": none_or(_per_feature),
        "scale_": none_or(_per_feature),
    },
    MinMaxScaler: {
        **FEATURES,
        "n_samples_seen_": number_or_array_of("iuf", "n_features"),
        **dict.fromkeys(
            ("min_", "scale_", "data_min_", "data_max_", "data_range_"), _per_feature
        ),
    },
    PCA: {
        **FEATURES,
        "n_components_": size("n_components"),
        "n_samples_": number,
        "noise_variance_": number,
        "_fit_svd_solver": word,
        "components_": array_of("f", "n_components", "n_features"),
        "mean_": _per_feature,
        **dict.fromkeys(
            ("explained_variance_", "explained_variance_ratio_", "singular_values_"),
            _per_component,
        ),
    },
}


def _is_estimator(value: Any) -> bool:
    return isinstance(value, BaseEstimator)


def _encode_estimator(
    estimator: BaseEstimator, encoder: Encoder, name: str
) -> dict[str, Any]:
    kind = type(estimator)
    if not _can_be_saved(kind):
        raise TypeError(
            f"{name} must be one of sklhash's estimators, or a pipeline of them and "
            "scikit-learn's StandardScaler, MinMaxScaler, Normalizer and PCA, to be "
            f"saved, got {kind.__name__}."
        )
    parameters = estimator.get_params(deep=False)
    if isinstance(estimator, Storable):
        fitted = estimator._fitted_state() if _is_fitted(estimator) else {}
        parameters |= dict.fromkeys(estimator._not_stored)
    else:
        fitted = fitted_attributes(estimator)
        parameters |= dict.fromkeys({"memory"} & parameters.keys())
    with encoder.inside(name):
        return {
            "class": name_of(kind, name),
            "parameters": _encode_items(parameters, encoder, name),
            "fitted": _encode_items(fitted, encoder, name),
            "output": encoder.encode(vars(estimator).get(_OUTPUT), name),
        }


def _encode_items(items: dict[str, Any], encoder: Encoder, name: str) -> dict[str, Any]:
    return {key: encoder.encode(item, f"{name}.{key}") for key, item in items.items()}


def _decode_estimator(parts: Any, decoder: Decoder) -> BaseEstimator:
    kind = decoder.classes.find(parts["class"], wanted=BaseEstimator)
    if not _can_be_saved(kind):
        raise ValueError(f"it holds a {kind.__name__}, which sklhash does not load.")
    with decoder.inside(kind.__name__):
        estimator = _unfitted(kind, _decode_items(parts["parameters"], decoder))
        if parts["fitted"]:
            _fit_from(estimator, parts["fitted"], decoder)
    output = decoder.decode(parts["output"])
    if output is not None:
        if output not in _OUTPUTS:
            raise ValueError(f"it has an unknown form of output, {output!r}.")
        setattr(estimator, _OUTPUT, output)
    return estimator


def _unfitted(kind: type, parameters: dict[str, Any]) -> BaseEstimator:
    unknown = parameters.keys() - inspect.signature(kind).parameters.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no parameters {sorted(unknown)}.")
    estimator = kind(**parameters)
    estimator._validate_params()
    if isinstance(estimator, Pipeline):
        _check_pipeline(estimator)
    return estimator


def _check_pipeline(pipeline: Pipeline) -> None:
    """Refuse steps that are none, and a cache, out of which pickles would be loaded."""
    if pipeline.memory is not None:
        raise ValueError(f"it has a cache for a Pipeline, {pipeline.memory!r}.")
    pipeline._validate_steps()


def _fit_from(estimator: Any, parts: dict[str, Any], decoder: Decoder) -> None:
    kind = type(estimator)
    if isinstance(estimator, Storable):
        with decoder.knowing(estimator._module_types()):
            state = _decode_items(parts, decoder)
        estimator._take_fitted_state(
            state, device=decoder.device, others=not is_known(kind)
        )
        return
    state = _decode_items(parts, decoder)
    check_state(state, _OF_SKLEARN[kind], of=kind.__name__)
    for parameter, name in (("with_mean", "mean_"), ("with_std", "scale_")):
        if getattr(estimator, parameter, False) and state[name] is None:
            raise ValueError(f"{name} of {kind.__name__} is None, with {parameter}.")
    for name, value in state.items():
        setattr(estimator, name, owned(value))


def _decode_items(parts: dict[str, Any], decoder: Decoder) -> dict[str, Any]:
    return {name: decoder.decode(item) for name, item in parts.items()}


def _can_be_saved(kind: type) -> bool:
    return kind in _OF_SKLEARN or issubclass(kind, Storable)


ESTIMATOR_KIND = Kind("estimator", _is_estimator, _encode_estimator, _decode_estimator)
