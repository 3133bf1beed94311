"""The devices' announcements, stored in a run's folder and read back.

Reading them does not need the training data, so a finished run can be queried on a machine without the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.mask import pack, unpack
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.run_config import RunConfig
from meshtune.methods.policies import BESIDE_COMMON
from meshtune.methods.state import Announcement
from meshtune.model.digest import tensors_digest
from meshtune.node.announcements import recipes
from meshtune.routing.statistics import Statistics
from meshtune.runs.records import LONGEST
from meshtune.runs.store import RunStore

PREPARED = "prepare"


def save_announcements(
    store: RunStore, config: RunConfig, layers: Sequence[LayerSpec], made: Sequence[Announcement], facts: dict[str, Any]
) -> None:
    """Store every device's announcement together with ``facts``."""
    counts = _positions(config, layers)
    tensors: dict[str, Tensor] = {}
    for a in made:
        for name, masks in {"calibrated": a.masks, **a.others}.items():
            if masks:
                tensors[f"{a.device}.mask.{name}"] = torch.from_numpy(pack(list(masks), counts(name)))
        if a.scores is not None:  # unrounded: the mask is their top positions, bit for bit
            tensors[f"{a.device}.scores"] = torch.from_numpy(a.scores)
        if a.codes is not None:
            tensors[f"{a.device}.codes"] = torch.from_numpy(a.codes)
        if a.statistics is not None:
            for name, array in a.statistics.to_tensors().items():
                tensors[f"{a.device}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
    own = {
        "samples": [a.samples for a in made],
        "counts": [a.statistics.count if a.statistics else 0 for a in made],
    }
    store.save(PREPARED, tensors, {**facts, **own, "digest": tensors_digest(tensors.items())})


def _positions(config: RunConfig, layers: Sequence[LayerSpec]) -> Callable[[str], list[int]]:
    """Return a function that returns the positions of every layer that the masks of a name are over."""
    whole = sizes(layers, config.adapter.rank)
    return lambda name: sizes(layers, BESIDE_COMMON.columns(config.adapter)) if name == BESIDE_COMMON.name else whole


def load_announcements(
    store: RunStore, config: RunConfig, layers: Sequence[LayerSpec]
) -> tuple[list[Announcement], dict[str, Any]]:
    """Return every device's announcement and the facts stored with them.

    Raises:
        UserError: the file is missing.
        DamagedError: the file is damaged.
        MeshtuneError: the file belongs to another model or rank.
    """
    tensors, facts = store.load(PREPARED)
    try:
        return _announced(config, layers, tensors, facts), facts
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise store.damaged(PREPARED, error) from error


def _announced(
    config: RunConfig, layers: Sequence[LayerSpec], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> list[Announcement]:
    recipe_of = recipes(config, layers)
    counts = _positions(config, layers)
    for key in ("samples", "counts"):
        if not all(type(n) is int and 0 <= n <= LONGEST for n in facts[key]):
            raise ValueError(f"{key} are impossible")
    if not all(0 <= float(value) <= LONGEST for value in facts["seconds"].values()):
        raise ValueError("seconds are impossible")
    result = []
    for device, task in enumerate(config.device_tasks):
        prefix = f"{device}."
        arrays = {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}
        names = [name for name in arrays if name.startswith("mask.")]
        packed = {name.removeprefix("mask."): arrays.pop(name) for name in names}
        masks = {name: tuple(unpack(bitmap, counts(name))) for name, bitmap in packed.items()}
        codes, scores = arrays.pop("codes", None), arrays.pop("scores", None)
        result.append(
            Announcement(
                device,
                task.key,
                facts["samples"][device],
                recipe_of[task.key],
                masks.pop("calibrated", ()),
                Statistics.from_tensors(arrays, facts["counts"][device]) if arrays else None,
                codes,
                masks,
                scores,
            )
        )
    return result
