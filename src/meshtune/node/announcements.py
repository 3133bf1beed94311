"""Preparation before the first round: each device computes its announcement, then all announcements are flooded once.

Each device chooses its densities and mask from its own data and computes its task statistics. The announcements then
travel through the graph. Each device receives each announcement once and so learns which devices it can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.blocks import assign_blocks, capacity
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Projections
from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.mask import join, top_positions
from meshtune.adapter.projection import Recipe, fingerprint
from meshtune.adapter.sites import LayerSpec, narrowest, sizes
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.methods.policies import BESIDE_COMMON
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Masks
from meshtune.model.base import Base
from meshtune.node.mask_search import search_masks
from meshtune.node.negotiation.mask_agreement import negotiates
from meshtune.routing.abstention import find_limits
from meshtune.routing.statistics import Statistics, summarise
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.training.calibration import averaged_inputs, calibration_scores, entropies, layer_inputs, prompt_features
from meshtune.wire.payload import Message, byte_tensor
from meshtune.wire.positions import encode_positions


def trains_sparse(config: RunConfig) -> bool:
    """Return whether some method of the run trains sparse experts."""
    return any(get_method(name).kind.projected for name in config.methods)


def recipes(config: RunConfig, layers: Sequence[LayerSpec]) -> dict[str, Recipe]:
    """Return the projection recipe of every task group, keys sorted; each group gets one block.

    Raises:
        UserError: the rank exceeds a layer's inputs, or there are more groups than orthogonal blocks, or more devices
            in a method with a block per device.
    """
    groups = sorted({task.key for task in config.device_tasks})
    rank, kind = config.adapter.rank, config.adapter.projection
    layer = narrowest(layers)
    bounded = kind == "orthogonal" and trains_sparse(config)  # only sparse experts have projections
    needs = [get_method(name).masks for name in config.methods if get_method(name).kind.projected]
    rows = max((masks.columns(config.adapter) for masks in needs), default=rank)
    lower = layer.inputs
    if kind == "orthogonal":
        lower = _largest_rank(config, len(groups), layer.inputs, bool(needs) and all(masks.common for masks in needs))
    if rank > layer.inputs:
        remedy = f"lower it to {lower}" if lower else f"lower it to {layer.inputs} and set adapter.projection=gaussian"
        raise UserError(f"adapter.rank={rank} is above the {layer.inputs} inputs of layer {layer.name}: {remedy}")
    room = capacity([layer.inputs for layer in layers], rows) if bounded else None
    if room is not None and len(groups) > room:
        remedy = f"lower adapter.rank to {lower} or " if lower else ""
        raise UserError(
            f"{len(groups)} task groups of {rows} rows each need {len(groups) * rows} rows, layer {layer.name} has "
            f"{layer.inputs} inputs: {remedy}set adapter.projection=gaussian"
        )
    blocks = assign_blocks(groups, room)
    found = {g: Recipe(seed=config.federation_seed, kind=kind, block=blocks[g], rank=rank) for g in groups}
    devices = len(config.device_tasks)
    apart = None if room is None or devices <= room else _apart(config, found)
    if apart is not None:
        least = layer.inputs // devices
        remedy = f"lower adapter.rank to {least}, or " if least else ""
        raise UserError(
            f"{devices} devices with a projection of rank {rank} each ({apart} with paper.projection="
            f"{config.paper.projection}) need {devices * rank} rows, layer {layer.name} has {layer.inputs} inputs: "
            f"{remedy}set adapter.projection=gaussian or paper.projection=group"
        )
    return found


def _of_device(method: Method, own: Announcement, config: RunConfig) -> bool:
    """Return whether a device has another block of the transform than its group."""
    return method.recipe(own, config.adapter, config.paper).block != own.recipe.block


def _largest_rank(config: RunConfig, groups: int, inputs: int, sharing: bool) -> int:
    """Return the largest rank whose blocks for ``groups`` fit into ``inputs`` rows; 0 if there is none.

    With ``sharing``, a part of the rank needs no block, as it belongs to the common expert.
    """
    if not sharing:
        return inputs // groups
    ranks = (config.adapter.model_copy(update={"rank": rank}) for rank in range(inputs, 1, -1))
    return next((one.rank for one in ranks if groups * (one.rank - one.common_rows) <= inputs), 0)


def _apart(config: RunConfig, recipe_of: Mapping[str, Recipe]) -> str | None:
    """Return the first method whose last device has another projection than its group; None if there is none."""
    group = config.device_tasks[-1].key
    last = Announcement(len(config.device_tasks) - 1, group, 1, recipe_of[group])
    methods = (get_method(name) for name in config.methods)
    return next((m.name for m in methods if m.kind.projected and _of_device(m, last, config)), None)


def announce(
    base: Base,
    config: RunConfig,
    devices: Sequence[DeviceData],
    methods: Sequence[Method],
    observer: Observer,
    densities: Sequence[float] | None = None,
    settle: Callable[[Sequence[Announcement]], RunConfig] | None = None,
) -> list[Announcement]:
    """Compute what every device may announce under ``methods``: masks, task statistics, task codes.

    Args:
        base: the frozen model.
        config: the run's settings.
        devices: their data.
        methods: the methods to run; only what at least one of them needs is computed.
        observer: receives progress events.
        densities: one per device; None for the configured one.
        settle: called with the part that does not depend on a learning rate; returns the settings, learning rate
            included, for the rest.
    """
    shares = [config.adapter.share] * len(devices) if densities is None else densities
    recipe_of = recipes(config, base.adapters.layers)
    calibrated = any(method.masks.selects and method.masks.budgeted for method in methods)
    if not calibrated and not any(method.routing.statistics or method.routing.codes for method in methods):
        result = [Announcement(d.device, d.group, d.samples, recipe_of[d.group]) for d in devices]
    else:
        observer(PhaseStarted("prepare", len(devices)))
        result = []
        for number, data in enumerate(devices):
            own = announcement_of(base, config, data, recipe_of[data.group], methods, shares[number])
            result.append(own if negotiates(config, methods) else replace(own, scores=None))
            observer(Progress("prepare", number + 1, len(devices)))
    settled = config if settle is None else settle(result)
    counts = [[len(positions) for positions in own.masks] for own in result]
    others = search_masks(base, settled, devices, methods, recipe_of, observer, shares, counts)
    if not others:
        return result
    # Clusters are formed for masks that are trained: calibrated ones stay only if some method trains them.
    kept = any(
        m.masks.selects and m.masks.budgeted and not (m.masks.common or m.masks.own(config.paper)) for m in methods
    )
    return [
        replace(own, others={**own.others, **more}, masks=own.masks if kept else ())
        for own, more in zip(result, others, strict=True)
    ]


def announcement_of(
    base: Base, config: RunConfig, data: DeviceData, recipe: Recipe, methods: Sequence[Method], density: float
) -> Announcement:
    """Compute one device's announcement including its scores, with all that ``methods`` need."""
    adapter = config.adapter
    codes = any(method.routing.codes for method in methods)
    prompts = data.prompts(max(config.router.prompts, adapter.entropy_tokens // 4))
    weighed, averaged = adapter.budget != "uniform", adapter.entropy_inputs == "averaged"
    inputs = layer_inputs(base, prompts, adapter.entropy_tokens) if codes or (weighed and not averaged) else {}
    spread = averaged_inputs(base, prompts, adapter.entropy_tokens) if weighed and averaged else inputs
    spectrum = entropies(base, spread) if weighed else None

    def scored(of: Recipe) -> list[NDArray[np.floating[Any]]]:
        batches = data.calibration(adapter.calibration_batches, config.train.batch)
        return calibration_scores(
            base, Projections(of, base.dtype, str(base.device)), batches, config.train.micro_tokens
        )

    plain = any(method.masks.selects and method.masks.budgeted and not method.masks.common for method in methods)
    scores = scored(recipe) if plain else []
    masks = top_masks(scores, adapter, spectrum, density)
    others = {}
    if any(method.masks.common for method in methods):
        own = replace(recipe, rank=BESIDE_COMMON.columns(adapter))
        others[BESIDE_COMMON.name] = top_masks(scored(own), adapter, spectrum, density)
    seen = prompt_features(base, prompts[: config.router.prompts], config.router, config.train.micro_tokens)
    statistics = summarise(seen.hidden, config.router.sketch, seen.embedded)
    if config.router.abstain != "never":
        statistics = replace(statistics, limits=limits_of(base, config, data, statistics))
    mean = torch.cat([h.mean(dim=1) for h in inputs.values()]).numpy() if codes else None
    ranked = np.concatenate(scores) if plain else None
    return Announcement(data.device, data.group, data.samples, recipe, masks, statistics, mean, others, scores=ranked)


def top_masks(
    scores: Sequence[NDArray[np.floating[Any]]],
    adapter: AdapterConfig,
    entropies: Sequence[float] | None,
    density: float,
) -> Masks:
    """Return per layer the positions with the highest scores, as many as the layer's share of the budget (eq. 18, 22).

    Args:
        scores: of every position of B (d columns,).
        adapter: how the budget is spread over layers.
        entropies: of every layer, unless it is spread evenly.
        density: share of all positions to choose.
    """
    if not scores:
        return ()
    room = [score.size for score in scores]
    counts = layer_counts(entropies, room, density, kind=adapter.budget, temperature=adapter.temperature)
    return tuple(top_positions(score, count) for score, count in zip(scores, counts, strict=True))


def limits_of(base: Base, config: RunConfig, data: DeviceData, statistics: Statistics) -> NDArray[np.float64] | None:
    """Return the limits of a device's task (:mod:`meshtune.routing.abstention`), from its held-out prompts.

    Distances are taken from the statistics as others receive them, rounded.
    """
    if not data.aside:
        return None
    held = prompt_features(base, data.held_prompts(), config.router, config.train.micro_tokens)
    arrays = {name: _rounded(array).float().numpy() for name, array in statistics.to_tensors().items()}
    arrived = Statistics.from_tensors(arrays, statistics.count)
    return find_limits(arrived, held.hidden, config.router.shrinkage, config.router.false_refusals)


def _rounded(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(torch.bfloat16)


def to_messages(own: Announcement, method: Method, layers: Sequence[LayerSpec], told: bool = False) -> list[Message]:
    """Return what a device sends once under ``method``: its announcement and, if required, statistics and codes.

    With ``told`` the receiver already has the mask, and it is not sent again.
    """
    meta = facts(own, method, layers)
    tensors: dict[str, Tensor] = {}
    if method.kind.projected and not told:
        counts = sizes(layers, own.recipe.rank)
        packed = encode_positions(join(own.masks, counts), sum(counts))
        tensors["mask"] = byte_tensor(packed)
    messages = [Message("announce", own.device, 0, own.device, meta, tensors)]
    if method.routing.statistics and own.statistics is not None:
        statistics = {
            name: torch.from_numpy(array) if name == "limits" else _rounded(array)
            for name, array in own.statistics.to_tensors().items()
        }
        messages.append(Message("router", own.device, 0, own.device, {"count": own.statistics.count}, statistics))
    if method.routing.codes and own.codes is not None:
        codes = {"codes": torch.from_numpy(own.codes).to(torch.bfloat16)}
        messages.append(Message("router", own.device, 0, own.device, {}, codes))
    return messages


def facts(own: Announcement, method: Method, layers: Sequence[LayerSpec]) -> dict[str, Any]:
    """Return the meta of a device's announcement; see :func:`to_messages`."""
    meta: dict[str, Any] = {"group": own.group, "samples": own.samples}
    if own.voted:
        meta["voted"] = True
    if method.kind.projected:
        r = own.recipe
        meta["recipe"] = r.to_json()
        meta["fingerprint"] = fingerprint(r, {layer.site: layer.inputs for layer in layers}).to_json()
    return meta
