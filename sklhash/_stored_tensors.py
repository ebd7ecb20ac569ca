"""Tensors in the state of an estimator, stored alike in every process."""

from __future__ import annotations

import copy
import pickle
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

__all__ = ["with_stored_tensors"]


def with_stored_tensors(state: Any) -> Any:
    """Return a copy whose tensors are replaced by what pickles the same everywhere.

    Torch pickles a tensor with an address in it, so that joblib's hash of a module is
    another in each process, and a cache of what was made with it is never found again.
    Here each tensor becomes an object around an array, which unpickles to the tensor.
    Those of a subclass, sparse ones and those without data stay as they are.

    Parameters
    ----------
    state : object
        What is to be pickled: a module, or a dict that holds some.

    Returns
    -------
    stored : object
        A deep copy. A tensor that was in several places is one object in all of them.
    """
    tensors = _tensors_in(state)
    return copy.deepcopy(
        state, {id(tensor): _StoredTensor(tensor) for tensor in tensors}
    )


class _StoredTensor:
    """A tensor's bytes, which unpickle to the tensor, on the CPU."""

    def __init__(self, tensor: Tensor) -> None:
        flat = tensor.detach().cpu().contiguous().flatten()
        self._parts = (
            flat.view(torch.uint8).numpy(),
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            isinstance(tensor, Parameter),
            tensor.requires_grad,
        )

    def __reduce__(self) -> Any:
        return _restored, self._parts


def _restored(
    data: NDArray[np.uint8],
    dtype: str,
    shape: tuple[int, ...],
    is_parameter: bool,
    requires_grad: bool,
) -> Tensor:
    tensor = torch.tensor(data).view(getattr(torch, dtype)).reshape(shape)
    return (
        Parameter(tensor, requires_grad)
        if is_parameter
        else tensor.requires_grad_(requires_grad)
    )


def _tensors_in(state: Any) -> list[Tensor]:
    finder = _TensorFinder()
    finder.dump(state)
    return [tensor for tensor in finder.found.values() if _is_plain(tensor)]


def _is_plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and tensor.device.type != "meta"
    )


class _Nowhere:
    def write(self, data: Any) -> None:
        """Forget what is written."""


class _TensorFinder(pickle.Pickler):
    """Walks over an object as a pickler does, and notes the tensors on its way."""

    def __init__(self) -> None:
        super().__init__(_Nowhere())
        self.found: dict[int, Tensor] = {}

    def persistent_id(self, obj: Any) -> str | None:
        """Stop at tensors, and at what is pickled by its name or by cloudpickle."""
        if isinstance(obj, Tensor):
            self.found[id(obj)] = obj
            return "tensor"
        return "named" if isinstance(obj, (FunctionType, type)) else None
