"""The paper's spectral entropies and densities by layer (eq. 20 to 22), from a few tasks' own prompts, untrained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from paper_scales import Request

from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import sizes
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.training.calibration import entropies, layer_inputs


def entropy(request: Request) -> dict[str, Any]:
    """Return every layer's entropy (nats) and density by device and seed, and how far the densities of two agree.

    A seed draws other prompts. Devices are called by their task where it has one device.
    """
    tasks = f"tasks=[{','.join(request.scale.pair)}]"
    found: list[dict[str, Any]] = []
    agree: list[dict[str, Any]] = []
    base = None
    for seed in request.seeds:
        config = request.config(f"seed={seed}", tasks, "devices={per_task: 1}")
        base = base or load(config.model)
        spectra = _spectra(base, config)
        found += [{**one, "seed": seed} for one in spectra]
        kinds = kinds_of([layer.name for layer in base.adapters.layers]).values()
        for one, other in combinations(spectra, 2):
            whole, rest = correlations(one["densities"], other["densities"], kinds)
            pair = [one["task"], other["task"]]
            agree.append({"pair": pair, "seed": seed, "whole": round(whole, 4), "less_kind": round(rest, 4)})
    names = [layer.name for layer in base.adapters.layers] if base else []
    return {"layers": names, "rows": found, "correlations": agree}


def _spectra(base: Base, config: RunConfig) -> list[dict[str, Any]]:
    adapter, room = config.adapter, sizes(base.adapters.layers, config.adapter.rank)
    found = []
    for data in deal(config, base.tokenizer):
        prompts = data.prompts(max(config.router.prompts, adapter.entropy_tokens // 4))
        values = entropies(base, layer_inputs(base, prompts, adapter.entropy_tokens))
        counts = layer_counts(values, room, adapter.share, "entropy", adapter.temperature)
        densities = np.asarray(counts) / np.asarray(room)
        name = data.group if config.devices.per_task == 1 else f"{data.group}, device {data.device}"
        entry = {
            "entropies": [round(float(v), 3) for v in values],
            "densities": [round(float(v), 5) for v in densities],
        }
        found.append({"task": name, **entry})
    return found


def correlations(one: Sequence[float], other: Sequence[float], kinds: Iterable[Sequence[int]]) -> tuple[float, float]:
    """Return Pearson's correlation of two tasks' densities over the layers, as they are and less their kind's mean.

    ``kinds`` are the layers of each kind. A q and a down projection differ so much that whole densities agree for that
    alone; the second number is of what tells the blocks apart.
    """
    rest = np.stack([np.asarray(one, dtype=float), np.asarray(other, dtype=float)])
    whole = np.corrcoef(rest)[0, 1]
    for layers in kinds:
        rest[:, layers] -= rest[:, layers].mean(axis=1, keepdims=True)
    return float(whole), float(np.corrcoef(rest)[0, 1])


def kinds_of(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Return the layers of every kind, by the last part of their names."""
    kinds: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        kinds.setdefault(name.rpartition(".")[2], []).append(number)
    return kinds
