"""What a device under a method knows and holds: announcements, updates, and its own expert."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.projection import Recipe
from meshtune.routing.statistics import Statistics

Masks = tuple[NDArray[np.int64], ...]
"""Per layer, sorted flat positions."""
NEGOTIATED = "negotiated"
"""The name in :attr:`Announcement.others` of a mask that the groups of a cluster negotiated."""


@dataclass(frozen=True)
class Announcement:
    """What a device announces once about itself.

    Attributes:
        device: its id.
        group: its declared task key.
        samples: N_i, the number of its training rows.
        recipe: regenerates its projections A.
        masks: per layer its own calibrated mask, sorted flat positions; empty for methods without masks.
        statistics: its task statistics for the router, or None if the method sends none.
        codes: its task codes h0 of eq. 26, place after place (sum of k,), or None if no method needs them.
        others: masks found by other means than calibration, by name; never sent under that name.
        scores: the ranking of the positions of ``masks``, all layers concatenated (sum of d r,), until masks are
            negotiated; never sent.
        voted: whether ``masks`` was already voted for by its group, so that it takes part in no further vote; announced
            to devices met during the run.
    """

    device: int
    group: str
    samples: int
    recipe: Recipe
    masks: Masks = ()
    statistics: Statistics | None = None
    codes: NDArray[np.float32] | None = None
    others: Mapping[str, Masks] = field(default_factory=dict)
    scores: NDArray[np.floating[Any]] | None = None
    voted: bool = False

    @cached_property
    def mask_digest(self) -> str:
        """A hash of the mask."""
        return hashlib.blake2b(b"|".join(m.tobytes() for m in self.masks), digest_size=16).hexdigest()

    @cached_property
    def digest(self) -> str:
        """A hash of everything in it that is ever sent."""
        facts = (self.device, self.group, self.samples, self.recipe, self.mask_digest, self.voted)
        state = hashlib.blake2b(repr(facts).encode(), digest_size=16)
        if self.statistics is not None:
            state.update(repr(self.statistics.count).encode())
            for name, array in self.statistics.to_tensors().items():
                state.update(name.encode() + array.tobytes())
        if self.codes is not None:
            state.update(b"codes" + self.codes.tobytes())
        return state.hexdigest()


@dataclass(frozen=True)
class Update:
    """The values a device published after round ``version``, as they arrived.

    Attributes:
        source: the device.
        version: the round.
        values: (nnz or parameters,).
        coded: the coded bytes, if they arrived as a difference to the previous version: (bytes,), for relaying.
        changed: the version in which each value last changed, or a later one, (nnz,) int16; only of updates with a part
            that is a sum, of which a round changes few values.
    """

    source: int
    version: int
    values: Tensor
    coded: Tensor | None = None
    changed: Tensor | None = None

    @cached_property
    def changed_digest(self) -> str:
        """A hash of ``changed``; empty if there is none."""
        return "" if self.changed is None else str(xxhash.xxh3_128_hexdigest(self.changed.numpy().data))

    @cached_property
    def digest(self) -> str:
        """A hash of the values: updates of equal digests are equal, whoever published them."""
        values = self.values.contiguous()
        data = values.view(torch.uint8).numpy().data
        return f"{values.dtype}{xxhash.xxh3_128_hexdigest(data)}"


@dataclass
class Member:
    """One device under one method.

    Attributes:
        device: its id.
        own: its own announcement.
        expert: what it trains, in its current state.
        moments: its optimiser's state.
        known: announcements it holds, by device id, its own included.
        held: the newest update it holds from each device, as published, its own included.
        history: identifies the optimiser's history, so that equal training is done only once.
        residual: the rounding error of its last update, after mixing replaced its expert (count,); sent with the next.
        averaged: the devices whose updates are in its expert, if it keeps none of them.
        clusters: the cluster of every device, if a radio network formed clusters; empty if all are in one.
        starts: the expert that a device starts from, by id, as far as computed; it follows from ``known``.
        timely: whether a mix uses only this round's updates, as when rounds end whether or not all have arrived;
            otherwise the newest update of every device, however old.
    """

    device: int
    own: Announcement
    expert: Expert
    moments: dict[str, Tensor] = field(default_factory=dict)
    known: dict[int, Announcement] = field(default_factory=dict)
    held: dict[int, Update] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    residual: Tensor | None = None
    averaged: tuple[int, ...] = ()
    clusters: Mapping[int, int] = field(default_factory=dict)
    timely: bool = False
    starts: dict[int, Expert] = field(default_factory=dict, repr=False, compare=False)

    def groups(self) -> dict[str, list[int]]:
        """Return the known devices of every group, ids ascending, groups sorted."""
        result: dict[str, list[int]] = {}
        for device in sorted(self.known):
            result.setdefault(self.known[device].group, []).append(device)
        return dict(sorted(result.items()))

    def holders(self, group: str) -> list[int]:
        """Return the devices of ``group`` whose updates it holds, ids ascending."""
        return [device for device in self.groups().get(group, []) if device in self.held]

    def counted(self, devices: Sequence[int]) -> list[int]:
        """Return those of ``devices`` whose updates count in this round's mix; it must hold one of each."""
        if not self.timely:
            return list(devices)
        now = self.held[self.device].version
        return [device for device in devices if self.held[device].version == now]
