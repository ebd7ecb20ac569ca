"""A trained net as plain values, tensors and modules, and back."""

from __future__ import annotations

from inspect import isclass, isfunction
from typing import Any

import torch
from skorch.history import History
from torch import Tensor, nn

from sklhash._state import (
    Checks,
    check_state,
    fields,
    flag,
    instance_of,
    none_or,
    one_of,
    whole,
)
from sklhash.training.augment import FeatureAugmentation
from sklhash.training.backbones import BackboneHead
from sklhash.training.generators import DeviceGenerator
from sklhash.training.net import HashingNet
from sklhash.training.plan import TrainingPlan

__all__ = ["net_of", "stored_net"]

SETTINGS = ("batch_size", "lr", "max_epochs", "optimizer", "verbose")
COUNTS = ("n_epochs_before", "n_epochs_planned", "n_rows_seen", "is_finished", "stops")
PLANNED = ("augment_generator", "augmentation", "split_seed", "precision", "compiled")

_CHECKS: Checks = {
    "module": instance_of(nn.Module),
    "criterion": instance_of(nn.Module),
    "counts": fields(
        **dict.fromkeys(COUNTS[:3], whole()), **dict.fromkeys(COUNTS[3:], flag)
    ),
    "plan": fields(
        augment_generator=none_or(instance_of(DeviceGenerator)),
        augmentation=none_or(instance_of(FeatureAugmentation)),
        split_seed=none_or(whole()),
        precision=one_of("float32", "bf16"),
        compiled=flag,
    ),
}


def stored_net(net: HashingNet) -> dict[str, Any]:
    """Return all that a trained net encodes by, and goes on from.

    Its callbacks are left out, and in the history what is recorded of each batch.
    """
    given = [name for name in net._params_to_validate if _is_of_optimizer(name)]
    return {
        "module": net.module_,
        "criterion": net.criterion_,
        "optimizer": net.optimizer_.state_dict(),
        "history": [{**row, "batches": []} for row in net.history],
        "settings": {name: getattr(net, name) for name in (*SETTINGS, *sorted(given))},
        "counts": {name: getattr(net, name) for name in COUNTS},
        "plan": {name: getattr(net.plan, name) for name in PLANNED},
        "generator": net.plan.generator.get_state(),
    }


def net_of(stored: dict[str, Any], device: str) -> HashingNet:
    """Return the net that was stored, on a device.

    Raises
    ------
    ValueError
        If its parts do not fit together.
    """
    check_state(stored, _CHECKS, of="a net", others=True)
    generator = torch.Generator()
    generator.set_state(stored["generator"].cpu())
    settings = stored["settings"]
    unknown = [
        name for name in settings if name not in SETTINGS and not _is_of_optimizer(name)
    ]
    if unknown:
        raise ValueError(f"a net has no settings {unknown}.")
    _check_kind_of_optimizer(settings["optimizer"])
    net = HashingNet(
        _trained_part(stored),
        stored["criterion"],
        plan=TrainingPlan(generator, **{n: stored["plan"][n] for n in PLANNED}),
        device=device,
        **settings,
    )
    net.initialize()
    net.optimizer_.load_state_dict(stored["optimizer"])
    _check_optimizer(net.optimizer_)
    net.module_ = stored["module"]
    net.history_ = History(stored["history"])
    for name in COUNTS:
        setattr(net, name, stored["counts"][name])
    net.module_.eval()
    return net


def _trained_part(stored: dict[str, Any]) -> nn.Module:
    """Return what the optimizer has: the head alone where features were kept."""
    module, groups = stored["module"], stored["optimizer"]["param_groups"]
    if not isinstance(module, BackboneHead) or not module.frozen:
        return module
    n_trained = sum(len(group["params"]) for group in groups)
    parts = module.head, stored["criterion"]
    n_without_backbone = sum(len([*part.parameters()]) for part in parts)
    return module.head if n_trained == n_without_backbone else module


def _is_of_optimizer(name: str) -> bool:
    return name.startswith("optimizer__")


def _check_kind_of_optimizer(optimizer: Any) -> None:
    """Refuse what is neither an optimizer nor a function that a user trusts."""
    is_class = isclass(optimizer) and issubclass(optimizer, torch.optim.Optimizer)
    if not is_class and (_is_of_torch(optimizer) or not isfunction(optimizer)):
        raise ValueError(f"a net has an optimizer that is none, {optimizer!r}.")


def _is_of_torch(function: Any) -> bool:
    return str(getattr(function, "__module__", None)).partition(".")[0] == "torch"


def _check_optimizer(optimizer: Any) -> None:
    """Refuse a state of weights of another shape, which torch takes as it is."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"a net has an optimizer that is none, {optimizer!r}.")
    for group in optimizer.param_groups:
        for weights in group["params"]:
            for name, value in optimizer.state.get(weights, {}).items():
                fits = not isinstance(value, Tensor) or value.ndim == 0
                if not fits and value.shape != weights.shape:
                    raise ValueError(
                        f"the optimizer's {name!r} has the shape {tuple(value.shape)}, "
                        f"of weights of shape {tuple(weights.shape)}."
                    )
