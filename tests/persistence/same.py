"""Whether two models are the same: classes, types and bits of all that they hold."""

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy import sparse
from sklearn.base import BaseEstimator

import sklhash
from sklhash import HammingNeighbors
from sklhash.neighbors.reranking import Vectors
from sklhash.training.generators import DeviceGenerator
from sklhash.training.net import HashingNet

OF_A_NET = (
    *("module_", "criterion_", "batch_size", "lr", "max_epochs", "optimizer"),
    *("verbose", "device", "n_epochs_before", "n_epochs_planned", "n_rows_seen"),
    *("is_finished", "stops"),
)
OF_A_PLAN = ("augmentation", "split_seed", "precision", "compiled", "augment_generator")
OF_A_SEARCH = ("codes_", "live_", "y_", "n_samples_fit_", "n_live_", "algorithm_")
OF_ANY_MODULE = vars(torch.nn.Module()).keys() - {"training"}
REFERENCES = "_flat_weight_refs"  # of a recurrent layer to its weights


def saved(estimator, folder, **options):
    """Return what comes back from a file."""
    sklhash.save(estimator, folder / "model.sklhash")
    return sklhash.load(folder / "model.sklhash", **options)


def assert_same(found, wanted, name="model"):
    """Compare two values; in place of memory-mapped arrays there may be others."""
    assert kind_of(found) is kind_of(wanted), (name, type(found), type(wanted))
    compare = next((c for kind, c in COMPARISONS if isinstance(wanted, kind)), None)
    if compare is not None:
        compare(found, wanted, name)
    elif dataclasses.is_dataclass(type(wanted)):
        same_parts(found, wanted, [f.name for f in dataclasses.fields(wanted)], name)
    else:
        np.testing.assert_equal(found, wanted, name)


def kind_of(value):
    return np.ndarray if isinstance(value, np.ndarray) else type(value)


def same_parts(found, wanted, parts, name):
    for part in parts:
        assert_same(getattr(found, part), getattr(wanted, part), f"{name}.{part}")


def same_items(found, wanted, name):
    assert found.keys() == wanted.keys(), (name, found.keys() ^ wanted.keys())
    for key in wanted:
        assert_same(found[key], wanted[key], f"{name}.{key}")


def same_lists(found, wanted, name):
    assert len(found) == len(wanted), name
    for i, pair in enumerate(zip(found, wanted, strict=True)):
        assert_same(*pair, f"{name}.{i}")


def same_arrays(found, wanted, name):
    same_parts(found, wanted, ("dtype", "shape"), name)
    if wanted.dtype == object:
        same_lists(found.ravel().tolist(), wanted.ravel().tolist(), name)
    else:
        np.testing.assert_array_equal(found, wanted, name)


def same_sparse(found, wanted, name):
    same_parts(found, wanted, ("shape", "data", "indices", "indptr"), name)


def same_tensors(found, wanted, name):
    same_parts(found, wanted, ("dtype", "shape", "requires_grad", "device"), name)
    assert torch.equal(found, wanted), name


def same_modules(found, wanted, name):
    assert first_places(found) == first_places(wanted), name
    for (place, a), (_, b) in zip(
        found.named_modules(), wanted.named_modules(), strict=True
    ):
        assert type(a) is type(b), (name, place)
        same_items(own_attributes(a), own_attributes(b), f"{name}.{place}")
        same_items(a._buffers, b._buffers, f"{name}.{place}")
        same_items(a._parameters, b._parameters, f"{name}.{place}")
        assert a._non_persistent_buffers_set == b._non_persistent_buffers_set


def first_places(module):
    """Where each part of a module is, and where it is for the first time."""
    first = {}
    return [
        (name, first.setdefault(id(part), name))
        for parts in (module.named_modules, module.named_parameters)
        for name, part in parts(remove_duplicate=False)
    ]


def own_attributes(module):
    if isinstance(module, DeviceGenerator):
        return {"state": module.get_extra_state()}
    return {
        k: v for k, v in vars(module).items() if k not in {*OF_ANY_MODULE, REFERENCES}
    }


def same_nets(found, wanted, name):
    wanted.module_.eval()  # as it encodes
    same_parts(found, wanted, OF_A_NET, name)
    same_parts(found.plan, wanted.plan, OF_A_PLAN, f"{name}.plan")
    for state in (
        lambda net: net.optimizer_.state_dict(),
        lambda net: net.plan.generator.get_state(),
        lambda net: net.epochs(),
    ):
        assert_same(state(found), state(wanted), name)


def same_searches(found, wanted, name):
    if not wanted.__sklearn_is_fitted__():
        same_objects(found, wanted, name)
        return
    same_parts(found, wanted, OF_A_SEARCH, name)
    tables = (search._stored.table.arrays() for search in (found, wanted))
    same_items(*tables, f"{name}.table")
    others = ({**vars(search), "_stored": None} for search in (found, wanted))
    same_items(*others, name)


def same_objects(found, wanted, name):
    same_items(vars(found), vars(wanted), name)


def same_random_states(found, wanted, name):
    states = (generator.get_state(legacy=False) for generator in (found, wanted))
    same_items(*states, name)


def same_tables(found, wanted, name):
    if isinstance(wanted, pd.DataFrame):
        wanted = wanted.reset_index(drop=True)  # numbers of rows are not kept
    assert found.equals(wanted), name
    assert [*found.dtypes] == [*wanted.dtypes], name
    assert [*found.columns] == [*wanted.columns], name


COMPARISONS = [
    (HammingNeighbors, same_searches),
    (HashingNet, same_nets),
    (torch.nn.Module, same_modules),
    (torch.Tensor, same_tensors),
    (np.ndarray, same_arrays),
    (sparse.csr_array | sparse.csr_matrix, same_sparse),
    (pd.DataFrame | pl.DataFrame, same_tables),
    (np.random.RandomState, same_random_states),
    (dict, same_items),
    (list | tuple, same_lists),
    (BaseEstimator | Vectors, same_objects),
]
