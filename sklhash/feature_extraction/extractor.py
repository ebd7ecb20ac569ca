"""TorchFeatureExtractor: the features that a frozen network has of things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from sklhash._fitting import unchanged_on_failure
from sklhash._stored_tensors import with_stored_tensors
from sklhash._validation import N_JOBS, Interval, check_array_like
from sklhash.feature_extraction.batches import batches_of, first_of, joined, stacked
from sklhash.feature_extraction.items import (
    check_files_exist,
    is_path,
    listed,
    open_image,
)
from sklhash.feature_extraction.network import FrozenNetwork, map_tensors
from sklhash.feature_extraction.outputs import one_tensor, rows_of
from sklhash.training.blocks import float32_rows
from sklhash.training.failures import out_of_memory_explained
from sklhash.training.recipes import resolve_device

__all__ = ["TorchFeatureExtractor"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchFeatureExtractor(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn images, texts or arrays into the features that a frozen network has of them.

    The network is copied and stays as it is: evaluation mode, no gradients, no
    training. Nothing is learned, so that :meth:`transform` works without :meth:`fit`;
    `fit` copies the network to the device once and for all, and passes the first item
    through it.

    Rows are computed in batches, and equal those of other batches up to rounding as
    long as the network keeps rows apart in evaluation mode, as usual ones do.

    An estimator in which this is a step can cache it (``memory=`` of a pipeline): the
    cache knows a network by its weights, in any process, and a file by its path alone.

    Parameters
    ----------
    module : torch.nn.Module or callable
        The network, or a callable without arguments that makes it, such as a
        `functools.partial`, which is quicker to copy and to look up in a cache. Weights
        that the callable draws are the same each time. A batch that is a mapping is
        passed as keyword arguments where `forward` takes these, else as one argument.

    layer : str, default=None
        Dotted name of the submodule whose output is taken, as in
        ``module.named_modules()``. None takes that of the whole network.

    preprocess : callable, default=None
        ``preprocess(item)`` makes of one item what the network takes for it: a tensor,
        array or dict of them, all of one shape. None takes items that are arrays of
        numbers, and converts them to float32.

    output : str or int, default=None
        Which entry of an output that is a mapping or tuple has the features. None takes
        the only tensor.

    pool : {"mean", "first", "flatten"} or callable, default=None
        How an output of more than two dimensions becomes a row an item. "mean" averages
        maps (n, channels, height, width) over their places, and sequences (n, tokens,
        n_features) over their tokens, without those that the batch's "attention_mask"
        leaves out; "first" takes the first token; "flatten" strings all together; a
        callable makes (n, n_features) of the output. None averages maps and refuses
        sequences.

    collate : callable, default=None
        ``collate(items)`` makes a batch of a list of preprocessed items: a tensor, or a
        mapping of tensors. This is where a tokenizer goes. None stacks them.

    strings : {"paths", "texts"}, default="paths"
        What strings are. Paths are opened as RGB images; texts come to `preprocess` and
        `collate` as they are.

    batch_size : int, default=32
        Items that go through the network at once.

    device : str or torch.device, default="auto"
        Where the network runs. "auto" takes CUDA, else MPS, else the CPU.

    precision : {"float32", "bf16", "fp16"}, default="float32"
        The half precisions run under torch's autocast.

    n_jobs : int, default=None
        Threads that open and preprocess the items of a batch. None is one, -1 as many
        as there are cores.

    verbose : int, default=0
        Whether to show a bar of progress.

    Attributes
    ----------
    n_features_out_ : int
        Number of features that the network has for the first item.

    n_features_in_ : int
        Size of the second dimension of an array seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of a frame seen in `fit`, if all are strings.

    See Also
    --------
    PathLoader : The files themselves as an array, for hashers with a backbone.

    Examples
    --------
    >>> import torch
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import LSH, TorchFeatureExtractor
    >>> images = torch.rand(10, 3, 8, 8)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU())
    >>> extractor = TorchFeatureExtractor(network)
    >>> extractor.fit_transform(images).shape
    (10, 16)
    >>> make_pipeline(extractor, LSH(32)).fit_transform(images).shape
    (10, 32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "module": [nn.Module, callable],
        "layer": [str, None],
        "preprocess": [callable, None],
        "output": [str, Integral, None],
        "pool": [StrOptions({"mean", "first", "flatten"}), callable, None],
        "collate": [callable, None],
        "strings": [StrOptions({"paths", "texts"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", *_AUTOCAST})],
        "n_jobs": N_JOBS,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module: nn.Module | Callable[[], nn.Module],
        layer: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        *,
        output: str | int | None = None,
        pool: str | Callable[[Tensor], Tensor] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        strings: Literal["paths", "texts"] = "paths",
        batch_size: int = 32,
        device: str | torch.device = "auto",
        precision: Literal["float32", "bf16", "fp16"] = "float32",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.module = module
        self.layer = layer
        self.preprocess = preprocess
        self.output = output
        self.pool = pool
        self.collate = collate
        self.strings = strings
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Copy the network to the device, and see how many features it has.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), list, or torch Dataset
            As for :meth:`transform`. All of an array is checked; of other input the
            first item is tried.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted extractor.
        """
        with unchanged_on_failure(self):
            X = self._check_X(X, reset=True)
            self._frozen = FrozenNetwork(self.module, resolve_device(self.device))
            first = joined(self._features(first_of(X), 1), None)
            self.n_features_out_ = first.shape[1]
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute features.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), list, or torch Dataset
            Items: rows of an array, tensor or frame of numbers; a list, vector or
            column of paths, texts, PIL images, or whatever `preprocess` or `collate`
            take; a Dataset that yields ``x`` or ``(x, y)``.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), dtype=float32
            A row an item.

        Raises
        ------
        FileNotFoundError
            If a path leads nowhere; all are looked up before the work begins.

        TypeError
            If items are no numbers and neither `preprocess` nor `collate` is given, or
            `module` makes something else than a module.

        ValueError
            If a file cannot be read, preprocessed items differ in shape, `layer` or
            `output` names nothing, the output does not have a row an item, or numbers
            are not finite.

        torch.OutOfMemoryError, MemoryError
            If the memory of a GPU or of the CPU does not suffice for a batch.
        """
        self._validate_params()
        X = self._check_X(X, reset=False)
        n_samples = None if isinstance(X, IterableDataset) else len(X)
        return joined(self._features(X, self.batch_size, self.verbose), n_samples)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the copy on the device, and store weights alike everywhere."""
        state = {name: value for name, value in vars(self).items() if name != "_frozen"}
        return with_stored_tensors(state)

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Return a Dataset, a list of items, or a finite array."""
        if isinstance(X, Dataset):
            return X
        items = listed(X)
        if items is None:
            return self._check_array(X, reset=reset)
        if reset:
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)
        if self.strings == "paths":
            check_files_exist(items)
        return items

    def _check_array(self, X: Any, *, reset: bool) -> NDArray[Any]:
        if isinstance(X, Tensor):
            X = X.detach().cpu()
            X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
        check_array_like(X, "X")
        return validate_data(self, X, reset=reset, dtype="numeric", allow_nd=True)

    def _network(self) -> FrozenNetwork:
        """Return the network on the device, copied again if it is another by now."""
        device = resolve_device(self.device)
        frozen = getattr(self, "_frozen", None)
        if frozen is None or frozen.source is not self.module or frozen.at != device:
            frozen = self._frozen = FrozenNetwork(self.module, device)
        return frozen

    def _features(
        self, X: Any, batch_size: int, verbose: int = 0
    ) -> Iterator[NDArray[np.float32]]:
        """Compute the features of checked `X` a batch at a time."""
        network = self._network()
        batches = batches_of(X, batch_size)
        if verbose:
            batches = _with_bar(batches, n_batches=_n_batches(X, batch_size))
        with Parallel(n_jobs=self.n_jobs, prefer="threads") as parallel:
            for items in batches:
                batch = self._batch(items, parallel)
                yield self._of_batch(network, batch, len(items))

    def _batch(self, items: Any, parallel: Parallel) -> Any:
        """Make what the network takes of some items."""
        as_they_are = self.preprocess is None and self.collate is None
        if as_they_are and isinstance(items, np.ndarray):
            return torch.from_numpy(float32_rows(items, slice(None)))
        opens_paths = self.strings == "paths"
        prepared = parallel(
            delayed(_prepared)(item, opens_paths, self.preprocess) for item in items
        )
        batch = (self.collate or stacked)(prepared)
        return map_tensors(Tensor.float, batch) if as_they_are else batch

    def _of_batch(
        self, network: FrozenNetwork, batch: Any, n_items: int
    ) -> NDArray[np.float32]:
        with out_of_memory_explained(n_items):
            output, batch = network(batch, self.layer, _AUTOCAST.get(self.precision))
            rows = rows_of(one_tensor(output, self.output), self.pool, batch)
        if rows.ndim != 2 or len(rows) != n_items:
            raise ValueError(
                f"The output must be ({n_items}, n_features) for {n_items} items, got "
                f"{tuple(rows.shape)}; layer, output and pool set what is taken of it."
            )
        features = rows.float().cpu().numpy()
        assert_all_finite(features, input_name="the output of module")
        return features


def _prepared(
    item: Any, opens_paths: bool, preprocess: Callable[[Any], Any] | None
) -> Any:
    if opens_paths and is_path(item):
        item = open_image(item)
    return item if preprocess is None else preprocess(item)


def _n_batches(X: Any, batch_size: int) -> int | None:
    return None if isinstance(X, IterableDataset) else -(-len(X) // batch_size)


def _with_bar(batches: Iterator[Any], n_batches: int | None) -> Iterator[Any]:
    from tqdm.auto import tqdm

    return iter(tqdm(batches, total=n_batches, unit="batch"))
