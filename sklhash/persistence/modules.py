"""Kinds of torch: tensors, devices, and modules as trees of plain attributes.

A module is put together again without its constructor: its class, its attributes, its
tensors and its children. So any module can be saved whose attributes are values.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sklhash.persistence.classes import name_of
from sklhash.persistence.values import Decoder, Encoder, Kind

__all__ = ["TORCH_KINDS"]

_INTERNAL = {*vars(nn.Module()), "_compiled_call_impl"} - {"training"}
_HOOKS = [name for name in _INTERNAL if name.endswith("_hooks")]
_OF_RECURRENT = {"_flat_weights", "_flat_weight_refs"}  # made of its parameters
MOST_VISITS = 2**16
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_BESIDE_OWN_STATE = (bool, int, float, str, list, tuple, dict)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _encode_tensor(value: Tensor, encoder: Encoder, name: str) -> Any:
    if is_lazy(value) or value.layout != torch.strided or value.is_meta:
        raise TypeError(f"{name} must be a dense tensor to be saved, got {value!r}.")
    here = value.detach().cpu()
    if here.dtype in _NOT_IN_NUMPY:
        here = here.view(_INTEGERS[here.dtype.itemsize])
    dtype = str(value.dtype).removeprefix("torch.")
    parts: dict[str, Any] = {"dtype": dtype}
    parts["values"] = encoder.put(here.numpy(), name)
    usual = torch.empty(value.shape, device="meta").stride()
    if value.stride() != usual and _extent(value, value.stride()) == value.numel():
        parts["strides"] = list(value.stride())
    return parts


def _decode_tensor(parts: Any, decoder: Decoder) -> Tensor:
    values = torch.tensor(decoder.take(parts["values"]))
    dtype = _decode_dtype(parts["dtype"], decoder)
    if dtype in _NOT_IN_NUMPY:
        values = values.view(dtype)
    if values.dtype != dtype:
        raise ValueError(f"it has a tensor of {dtype} made of {values.dtype}.")
    if "strides" in parts:
        values = _laid_out(values, parts["strides"])
    return values.to(decoder.device)


def _laid_out(values: Tensor, strides: list[int]) -> Tensor:
    """Put a tensor into its order in memory, on which the bits of products depend."""
    if _extent(values, strides) != values.numel():
        raise ValueError(f"it has a tensor {tuple(values.shape)} of strides {strides}.")
    return torch.empty_strided(values.shape, strides, dtype=values.dtype).copy_(values)


def _extent(values: Tensor, strides: Iterable[int]) -> int:
    """Return how many numbers lie between the first and the last, both included."""
    pairs = zip(values.shape, strides, strict=True)
    return 1 + sum((n - 1) * stride for n, stride in pairs)


_NOT_IN_NUMPY = {
    dtype
    for name, dtype in vars(torch).items()
    if name == "bfloat16" or (name.startswith("float8") and dtype.itemsize == 1)
}


def _encode_by_name(value: Any, encoder: Encoder, name: str) -> Any:
    return str(value).removeprefix("torch.")


def _decode_device(parts: Any, decoder: Decoder) -> torch.device:
    return torch.device(parts)


def _decode_dtype(parts: Any, decoder: Decoder) -> torch.dtype:
    if parts not in _DTYPES:
        raise ValueError(f"it has a tensor of dtype {parts!r}.")
    return _DTYPES[parts]


_DTYPES = {
    name: dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)
}


def _encode_size(value: torch.Size, encoder: Encoder, name: str) -> Any:
    return list(value)


def _decode_size(parts: Any, decoder: Decoder) -> torch.Size:
    return torch.Size(parts)


def _encode_module(root: nn.Module, encoder: Encoder, name: str) -> Any:
    tensors = _Tensors(encoder)
    places = {module: place for place, module in enumerate(root.modules())}
    nodes = [
        _node(module, places, tensors, encoder, f"{name}.{path}" if path else name)
        for path, module in root.named_modules()
    ]
    return {"modules": nodes, "tensors": tensors.entries}


class _Tensors:
    """The tensors of a module, each once, however many places it is in."""

    def __init__(self, encoder: Encoder) -> None:
        self.entries: list[dict[str, Any]] = []
        self._encoder = encoder
        self._numbers: dict[int, int] = {}

    def number(self, tensor: Tensor | None, name: str) -> int | None:
        if tensor is None:
            return None
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.entries)
            self.entries.append(
                {
                    "value": self._encoder.encode(tensor, name),
                    "is_parameter": isinstance(tensor, nn.Parameter),
                    "requires_grad": tensor.requires_grad,
                }
            )
        return self._numbers[id(tensor)]


def _node(
    module: nn.Module,
    places: dict[nn.Module, int],
    tensors: _Tensors,
    encoder: Encoder,
    name: str,
) -> dict[str, Any]:
    if any(getattr(module, hooks) for hooks in _HOOKS):
        raise TypeError(f"{name} must be a module without hooks to be saved.")
    left_out = _INTERNAL | (_OF_RECURRENT if isinstance(module, nn.RNNBase) else set())
    attributes = {k: v for k, v in vars(module).items() if k not in left_out}
    node: dict[str, Any] = {"class": name_of(type(module), name)}
    if _keeps_own_state(type(module)):
        attributes = {
            key: value if isinstance(value, _BESIDE_OWN_STATE) else None
            for key, value in attributes.items()
        }
        node["own_state"] = encoder.encode(module.get_extra_state(), f"{name}.state")
    return node | {
        "attributes": {
            key: encoder.encode(value, f"{name}.{key}")
            for key, value in attributes.items()
        },
        "parameters": {
            key: tensors.number(value, f"{name}.{key}")
            for key, value in module._parameters.items()
        },
        "buffers": {
            key: tensors.number(value, f"{name}.{key}")
            for key, value in module._buffers.items()
        },
        "not_in_state_dict": sorted(module._non_persistent_buffers_set),
        "children": {
            key: None if child is None else places[child]
            for key, child in module._modules.items()
        },
    }


def _keeps_own_state(kind: type[nn.Module]) -> bool:
    return kind.get_extra_state is not nn.Module.get_extra_state


def _decode_module(parts: Any, decoder: Decoder) -> nn.Module:
    nodes = parts["modules"]
    _check_tree([list(node["children"].values()) for node in nodes])
    tensors = [_decode_entry(entry, decoder) for entry in parts["tensors"]]
    modules = [_empty(node["class"], decoder) for node in nodes]
    for module, node in zip(modules, nodes, strict=True):
        _fill(module, node, modules, tensors, decoder)
    for module in modules:
        _check_sizes(module)
    return modules[0]


def _check_tree(children: list[list[Any]]) -> None:
    """Refuse modules that are in themselves, or in so many places that none can walk.

    Torch walks over modules by every way that leads to them.
    """
    n_visits: dict[int, int] = {}
    under_way: set[int] = set()

    def visits(place: int) -> int:
        if place in under_way:
            raise ValueError("it has a module that is a part of itself.")
        if place not in n_visits:
            under_way.add(place)
            parts = (part for part in children[place] if part is not None)
            n_visits[place] = 1 + sum(visits(_index(part, children)) for part in parts)
            under_way.remove(place)
        return n_visits[place]

    if visits(0) > MOST_VISITS:
        raise ValueError(f"it has modules in more than {MOST_VISITS} places.")
    if len(n_visits) < len(children):
        raise ValueError("it has modules that are no part of another one.")


def _decode_entry(entry: dict[str, Any], decoder: Decoder) -> Tensor:
    tensor = decoder.decode(entry["value"])
    if entry["is_parameter"]:
        return nn.Parameter(tensor, entry["requires_grad"])
    return tensor


def _empty(name: Any, decoder: Decoder) -> nn.Module:
    kind = decoder.classes.find(name, wanted=nn.Module)
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    return module


def _fill(
    module: nn.Module,
    node: dict[str, Any],
    modules: list[nn.Module],
    tensors: list[Tensor],
    decoder: Decoder,
) -> None:
    for part in ("attributes", "parameters", "buffers", "children"):
        for name in node[part]:
            _refuse_name_of_class(type(module), name)
    for name, value in node["attributes"].items():
        vars(module)[name] = decoder.decode(value)
    for name, number in node["parameters"].items():
        module.register_parameter(name, _at(number, tensors))
    for name, number in node["buffers"].items():
        persistent = name not in node["not_in_state_dict"]
        module.register_buffer(name, _at(number, tensors), persistent)
    for name, number in node["children"].items():
        module.add_module(name, _at(number, modules))
    if _keeps_own_state(type(module)):
        module.set_extra_state(decoder.decode(node["own_state"]))
    if isinstance(module, nn.RNNBase):
        module._init_flat_weights()


def _check_sizes(module: nn.Module) -> None:
    """Refuse weights of other sizes than the attributes say, where torch trusts them.

    It reads beyond the weights of an LSTM, and divides by the number of heads.
    """
    with torch.device("meta"):
        right = _made_again(module)
    weights = dict(() if right is None else right.named_parameters())
    found = {name: attrgetter(name)(module) for name in weights}
    shapes = {name: tuple(weight.shape) for name, weight in found.items()}
    wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
    if shapes != wanted or len({weight.dtype for weight in found.values()}) > 1:
        raise ValueError(
            f"it has a {type(module).__name__} with weights of shapes {shapes}, which "
            f"must be {wanted}, all of one dtype."
        )


def _made_again(module: Any) -> nn.Module | None:
    if isinstance(module, nn.MultiheadAttention):
        return nn.MultiheadAttention(
            *(module.embed_dim, module.num_heads),
            bias=module.in_proj_bias is not None,
            add_bias_kv=module.bias_k is not None,
            kdim=module.kdim,
            vdim=module.vdim,
        )
    if not isinstance(module, nn.RNNBase):
        return None
    n_layers, names = module.num_layers, module._flat_weights_names
    if n_layers > len(names):
        raise ValueError(f"it has {n_layers} layers of {len(names)} weights.")
    sizes = module.input_size, module.hidden_size, n_layers, module.bias
    both_ways = {"bidirectional": module.bidirectional}
    if isinstance(module, nn.LSTM):
        right: Any = nn.LSTM(*sizes, proj_size=module.proj_size, **both_ways)
    else:
        right = (nn.GRU if isinstance(module, nn.GRU) else nn.RNN)(*sizes, **both_ways)
    if names != right._flat_weights_names:
        raise ValueError(f"it has a {type(module).__name__} of the weights {names}.")
    return right


def _refuse_name_of_class(kind: type, name: str) -> None:
    """Refuse attributes that would stand in front of what the class defines."""
    defined = inspect.getattr_static(kind, name, None)
    if name in _INTERNAL or callable(defined) or hasattr(defined, "__get__"):
        raise ValueError(f"it would replace {name!r} of {kind.__name__}.")


def _at(number: Any, items: list[Any]) -> Any:
    return None if number is None else items[_index(number, items)]


def _index(number: Any, items: list[Any]) -> int:
    if type(number) is not int or not 0 <= number < len(items):
        raise ValueError(f"it names part {number!r} of {len(items)} of a module.")
    return number


def _is_a(kind: type) -> Any:
    return lambda value: isinstance(value, kind)


TORCH_KINDS = [
    Kind("tensor", _is_tensor, _encode_tensor, _decode_tensor),
    Kind("device", _is_a(torch.device), _encode_by_name, _decode_device),
    Kind("dtype", _is_a(torch.dtype), _encode_by_name, _decode_dtype),
    Kind("size", _is_a(torch.Size), _encode_size, _decode_size),
    Kind("module", _is_a(nn.Module), _encode_module, _decode_module),
]
