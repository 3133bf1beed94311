"""A device's preparation before the first round: read its own prompts, choose densities, calibrate its mask.

All of it runs on the frozen model: the layer inputs for the spectral entropy (eq. 20 to 22), the gradient at B = 0 that
ranks the positions of B (eq. 18), and the prompt means that become the device's task statistics (eq. 26). As in
training, passes run side by side, each on one core, so a core that is busy elsewhere delays one pass, not every
operation of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.entropy import spectral_entropies
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.mask import top_positions
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.cores import on_cores, side_by_side
from meshtune.model.encoding import Row
from meshtune.model.micro_batch import micro_batches
from meshtune.model.packing import Packed
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.training.trainer import accumulate


def layer_inputs(base: Base, prompts: Sequence[Sequence[int]], tokens: int) -> dict[str, Tensor]:
    """Return H (k, n) for every place of the frozen model: its inputs over n = ``tokens`` prompt tokens.

    The first token of each prompt and padding are excluded (attention sinks make some layers look rank one). Prompts
    are used in order until there are enough tokens; if there are too few, all are used.
    """
    chosen, have = [], 0
    for prompt in prompts:
        if have >= tokens:
            break
        if len(prompt) > 1:
            chosen.append(prompt)
            have += len(prompt) - 1
    parts = _inputs(base, chosen)
    return {place: torch.cat([part[place] for part in parts])[:tokens].T for place in parts[0]} if parts else {}


def averaged_inputs(base: Base, prompts: Sequence[Sequence[int]], most: int) -> dict[str, Tensor]:
    """Return H (k, n) for every place of the frozen model: its inputs averaged over each of n prompts (eq. 20).

    The first ``most`` prompts of more than one token are used; the first token of each is excluded. With a single
    prompt the covariance has rank one, so the entropy of every layer is 0 and all shares are equal.
    """
    parts = _inputs(base, [prompt for prompt in prompts if len(prompt) > 1][:most], averaged=True)
    return {place: torch.cat([part[place] for part in parts]).T for place in parts[0]} if parts else {}


def _inputs(base: Base, prompts: Sequence[Sequence[int]], averaged: bool = False) -> list[dict[str, Tensor]]:
    """Return for every prompt, by place, the inputs of all its tokens but the first (tokens - 1, k), or their mean."""

    def inputs_of(prompt: Sequence[int]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def watch(layer: LayerSpec, x: Tensor) -> None:
            if layer.place not in found:
                rows = x[0, 1:].detach().float()
                found[layer.place] = (rows.mean(dim=0, keepdim=True) if averaged else rows).cpu()

        with torch.no_grad(), base.adapters.watched(watch):
            base.read(Packed([prompt], base.device))
        return found

    return list(side_by_side(base, inputs_of, prompts))


def entropies(base: Base, inputs: Mapping[str, Tensor]) -> list[float]:
    """Return the spectral entropy of every adapted layer over its ``inputs`` H (k, n), by place (eq. 20, 21).

    Raises:
        UserError: an input is not finite in the model's element type.
    """
    result = [0.0] * len(base.adapters.layers)
    by_place: dict[str, list[LayerSpec]] = {}
    for layer in base.adapters.layers:
        by_place.setdefault(layer.place, []).append(layer)

    def of(place: str) -> list[float]:
        if not bool(torch.isfinite(inputs[place]).all()):
            raise UserError(f"the input of {place} is not finite: hold the model in float32 or bfloat16")
        weights = (base.adapters.weight(layer).detach().cpu() for layer in by_place[place])
        return spectral_entropies(weights, inputs[place])

    for place, values in zip(by_place, on_cores(of, list(by_place)), strict=True):
        for layer, value in zip(by_place[place], values, strict=True):
            result[layer.index] = value
    return result


def calibrate(
    base: Base,
    projections: Projections,
    batches: Sequence[Sequence[Row]],
    counts: Sequence[int],
    micro_tokens: int,
) -> list[NDArray[np.int64]]:
    """Return the device's mask: per layer the ``counts`` positions of B with the highest scores (eq. 18).

    See :func:`calibration_scores` for the other arguments.
    """
    scores = calibration_scores(base, projections, batches, micro_tokens)
    return [top_positions(score, count) for score, count in zip(scores, counts, strict=True)]


def calibration_scores(
    base: Base, projections: Projections, batches: Sequence[Sequence[Row]], micro_tokens: int
) -> list[NDArray[np.floating[Any]]]:
    """Return per layer |sum of gradients at B = 0| of every position of B (d r,) (eq. 18).

    Args:
        base: the frozen model.
        projections: the device's A.
        batches: the calibration mini-batches.
        micro_tokens: see :class:`meshtune.training.trainer.TrainConfig`.
    """
    layers = base.adapters.layers
    everywhere = [np.arange(size) for size in sizes(layers, projections.recipe.rank)]
    probe = SparseExpert(layers, projections, everywhere, 1.0)
    probe.values.requires_grad_()
    for batch in batches:
        accumulate(base, [(probe, batch)], micro_tokens)
    gradient = probe.values.grad
    assert gradient is not None
    if not bool(torch.isfinite(gradient).all()):
        raise UserError("the gradient behind the mask is not finite: hold the model in float32 or bfloat16")
    return [score.numpy() for score in torch.split(gradient.abs().cpu(), probe.counts)]


def prompt_means(
    base: Base,
    prompts: Sequence[Sequence[int]],
    block: int,
    micro_tokens: int,
) -> NDArray[np.float64]:
    """Return x (prompts, width): the mean over prompt tokens of the input of block ``block`` of the frozen model."""
    parts = micro_batches(base, [len(prompt) for prompt in prompts], micro_tokens)
    with base.stopped_at(block) as read:

        def means(part: Sequence[int]) -> Tensor:
            packed = Packed([prompts[i] for i in part], base.device)
            hidden = read(packed).double()
            rows = zip(packed.starts, packed.lengths, strict=False)
            return torch.stack([hidden[start : start + length].mean(0) for start, length in rows]).cpu()

        result = np.zeros((len(prompts), base.width))
        for part, found in zip(parts, side_by_side(base, means, parts), strict=True):
            result[part.start : part.stop] = found.numpy()
    return result


def prompt_features(base: Base, prompts: Sequence[Sequence[int]], router: RouterConfig, micro_tokens: int) -> Features:
    """Return the features of ``prompts`` for the routers of ``router``; embeddings only if one needs them."""
    hidden = prompt_means(base, prompts, router_block(base, router.depth), micro_tokens)
    return Features(hidden, prompt_means(base, prompts, 0, micro_tokens) if router.embeds else None)


def router_block(base: Base, depth: float = 0.3) -> int:
    """Return round(depth L): the block whose input the routers use (method section 8)."""
    return min(len(base.blocks) - 1, round(depth * len(base.blocks)))
