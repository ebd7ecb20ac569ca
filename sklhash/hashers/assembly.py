"""From a hasher's parameters and rows to a net that is ready to be trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklhash.hashers.loss import HashLoss
from sklhash.training.augment import CustomAugmentation, make_augmentation
from sklhash.training.backbones import (
    BackboneHead,
    features_in_training,
    make_backbone,
    width_of_features,
)
from sklhash.training.batches import TrainingRows
from sklhash.training.frozen import encoded, has_room, through
from sklhash.training.generators import DeviceGenerator, draw_seed_from
from sklhash.training.heads import HashHead
from sklhash.training.net import HashingNet
from sklhash.training.plan import TrainingPlan
from sklhash.training.recipes import lr_factor, optimizer_params, resolve_device
from sklhash.training.validation import HeldOutRows, held_out_places

__all__ = ["net_for", "net_that_goes_on"]

Rows = tuple[TrainingRows, HeldOutRows | None]


def net_for(
    hasher: Any, dataset: TrainingRows, seed: int, *, holds_out: bool = True
) -> tuple[HashingNet, TrainingRows]:
    """Build head, loss and net for a fit from the start.

    Parameters
    ----------
    hasher : DeepHasher
        With parameters that have been checked.

    dataset : TrainingRows
        All rows that there are to learn from.

    seed : int
        Of all randomness.

    holds_out : bool, default=True
        Whether the hasher's `validation_fraction` is kept out.

    Returns
    -------
    net : HashingNet
        Not yet trained.

    dataset : TrainingRows
        What to train it on: without the rows held out, and with the features of a
        backbone that is not trained.
    """
    generator = torch.Generator().manual_seed(seed)
    device = _device(hasher)
    split_seed, held_out = None, None
    if holds_out and hasher.validation_fraction is not None:
        split_seed = draw_seed_from(generator)
        dataset, held_out = _split(hasher, dataset, split_seed)
    backbone, n_features = None, hasher.n_features_in_
    if hasher.backbone is not None:
        backbone = make_backbone(hasher.backbone, draw_seed_from(generator))
        backbone = backbone.to(device).float()
        n_features = width_of_features(backbone, dataset.sample(2).to(device))
    head, loss = _make_parts(hasher, n_features, dataset)
    head.reset_parameters(generator)
    frozen_backbone = None
    if _is_frozen(hasher) and _can_keep(hasher, dataset, held_out, n_features):
        frozen_backbone, backbone = backbone, None
        dataset, held_out = encoded(
            frozen_backbone, dataset, held_out, hasher.batch_size, device
        )
    seen = _seen_by_head(hasher, dataset, backbone, device, generator)
    head.standardize.learn(block.float().cpu().numpy() for block in seen)
    loss.on_fit_begin(dataset.targets, int(hasher.n_bits), generator)
    module: nn.Module = head
    if backbone is not None:
        module = BackboneHead(backbone, head, frozen=_is_frozen(hasher))
    plan = TrainingPlan(
        generator=generator,
        augment_generator=_augment_generator(device, generator),
        **_settings(hasher, frozen_backbone, held_out, split_seed),
    )
    dataset.to(device)
    return _make_net(hasher, module, loss, plan, device), dataset


def net_that_goes_on(
    hasher: Any, dataset: TrainingRows
) -> tuple[HashingNet, TrainingRows]:
    """Copy the fitted net, and prepare it for a fit that begins where it is."""
    net = copy.deepcopy(hasher.net_)
    split_seed, held_out = net.plan.split_seed, None
    if hasher.validation_fraction is not None:
        if split_seed is None:
            split_seed = draw_seed_from(net.plan.generator)
        dataset, held_out = _split(hasher, dataset, split_seed)
    if not hasher._supports_partial_fit and len(dataset) != net.n_rows_seen:
        raise ValueError(
            f"{type(hasher).__name__} keeps something for each row, so warm_start goes "
            f"on with the {net.n_rows_seen} rows that the fit before was trained on, "
            f"got {len(dataset)}."
        )
    module, frozen_backbone = net.module_, None
    if isinstance(module, BackboneHead) and module.frozen:
        n_features = len(module.head.standardize.mean)
        if _can_keep(hasher, dataset, held_out, n_features):
            net.module_, frozen_backbone = module.head, module.backbone
            dataset, held_out = encoded(
                frozen_backbone, dataset, held_out, hasher.batch_size, net.device
            )
    settings = _settings(hasher, frozen_backbone, held_out, split_seed)
    changing = ("lr", "max_epochs", "batch_size", "callbacks", "verbose")
    net.go_on(
        replace(net.plan, **settings),
        **{name: getattr(hasher, name) for name in changing},
    )
    dataset.to(net.device)
    return net, dataset


def _make_parts(
    hasher: Any, n_features: int, dataset: TrainingRows
) -> tuple[HashHead, HashLoss]:
    head = hasher._make_head(n_features)
    loss = hasher._make_loss(dataset.targets)
    for made, wanted in ((head, HashHead), (loss, HashLoss)):
        if not isinstance(made, wanted):
            raise TypeError(
                f"{type(hasher).__name__} must make a {wanted.__name__}, got "
                f"{type(made).__name__}."
            )
    return head, loss


def _settings(
    hasher: Any,
    frozen_backbone: Any,
    held_out: HeldOutRows | None,
    split_seed: int | None,
) -> dict[str, Any]:
    """Return what of a plan may be another in each fit."""
    return {
        "augmentation": make_augmentation(hasher.augment),
        "frozen_backbone": frozen_backbone,
        "lr_factor": lr_factor(hasher.lr_schedule),
        "held_out": held_out,
        "split_seed": split_seed,
        "precision": hasher.precision,
        "compiled": hasher.compile,
    }


def _make_net(
    hasher: Any, module: nn.Module, loss: HashLoss, plan: TrainingPlan, device: Any
) -> HashingNet:
    named = {
        "max_epochs": int(hasher.max_epochs),
        "batch_size": int(hasher.batch_size),
        "lr": hasher.lr,
        "callbacks": None if hasher.callbacks is None else list(hasher.callbacks),
        "verbose": hasher.verbose,
        **optimizer_params(hasher.optimizer, hasher.weight_decay),
    }
    if isinstance(module, BackboneHead):
        slow = {"lr": hasher.lr * hasher.backbone_lr_scale}
        named["optimizer__param_groups"] = [("backbone.*", slow)]
    net_params = hasher.net_params or {}
    _check_net_params(net_params, named)
    named |= net_params
    return HashingNet(module, loss, plan=plan, device=device, **named)


def _device(hasher: Any) -> Any:
    if hasher.accelerator is not None:
        return hasher.accelerator.device.type  # one with a number cannot be unpickled
    return resolve_device(hasher.device)


def _augment_generator(
    device: Any, generator: torch.Generator
) -> DeviceGenerator | None:
    """Return the source of noise where it is not the one of the order of the rows."""
    if torch.device(device).type == "cpu":
        return None
    return DeviceGenerator(draw_seed_from(generator))


def _split(
    hasher: Any, dataset: TrainingRows, seed: int
) -> tuple[TrainingRows, HeldOutRows]:
    """Keep rows out of the training, the same ones whenever it goes on."""
    rng = np.random.default_rng(seed)
    places = held_out_places(dataset.targets, hasher.validation_fraction, rng)
    others = np.setdiff1d(np.arange(dataset.n_rows), places)
    queries, database = dataset.take(places), dataset.take(others)
    return database, HeldOutRows(queries, database)


def _is_frozen(hasher: Any) -> bool:
    return hasher.backbone is not None and hasher.backbone_lr_scale == 0


def _can_keep(
    hasher: Any, dataset: TrainingRows, held_out: HeldOutRows | None, n_features: int
) -> bool:
    """Tell whether a frozen backbone's features stay the same, and fit into memory."""
    changes_input = isinstance(make_augmentation(hasher.augment), CustomAugmentation)
    return not changes_input and has_room(dataset, held_out, n_features)


def _seen_by_head(
    hasher: Any,
    dataset: TrainingRows,
    backbone: Any,
    device: Any,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Walk over what the head is to see; over some rows if a backbone is trained."""
    if backbone is None:
        return dataset.blocks()
    if _is_frozen(hasher):
        return through(backbone, dataset.blocks(), hasher.batch_size, device)
    rows = dataset.sample().to(device)
    return features_in_training(backbone, rows, hasher.batch_size, generator)


def _check_net_params(net_params: dict[str, Any], named: dict[str, Any]) -> None:
    """Refuse what would undo a setting of the hasher or the parts it is made of."""
    nameless = [name for name in net_params if not isinstance(name, str)]
    if nameless:
        raise TypeError(f"net_params must have keys that are str, got {nameless}.")
    parts = {"module", "criterion", "dataset", "iterator_train", "train_split"}
    own = {"optimizer__lr", "warm_start", "compile", "device", "plan", "accelerator"}
    settled = {*named, *own} - {"optimizer__momentum", "optimizer__fused"}
    taken = [
        name
        for name in net_params
        if name in settled or name.partition("__")[0] in parts
    ]
    if taken:
        raise ValueError(
            f"net_params must not hold {taken}, which the hasher sets itself; use its "
            "own parameters."
        )
