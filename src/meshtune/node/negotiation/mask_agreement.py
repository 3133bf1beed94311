"""What the groups of every cluster agreed on when they negotiated their masks, and what that took.

All methods that take negotiated masks have the same, and each is charged what was sent, for each is a federation of its
own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.state import NEGOTIATED, Announcement, Masks
from meshtune.wire.ledger import Ledger


@dataclass(frozen=True)
class Sent:
    """One message over one link: its ends, its bytes by use, and whether it is passed on for another device."""

    sender: int
    receiver: int
    split: Mapping[str, int]
    relayed: bool


@dataclass(frozen=True)
class Agreement:
    """What the groups of every cluster agreed on.

    Attributes:
        parts: the devices that negotiated with each other: clusters, or what parts of one can hear of each other.
        masks: the mask of every device.
        hops: what crossed links, in order; what one hop has is sent at the same time.
        known: by device the masks that it knows once all claims are made: those of its own part.
        between: per part, the share of positions that two or more groups use.
        measured: per part, the share that two or more devices use; those of a group share a mask on purpose.
        change: per part, by how much a layer's density differs most from that in the device's own mask.
    """

    parts: tuple[tuple[int, ...], ...]
    masks: Mapping[int, Masks]
    known: Mapping[int, Mapping[int, Masks]]
    hops: tuple[tuple[Sent, ...], ...]
    between: tuple[float, ...]
    measured: tuple[float, ...]
    change: tuple[float, ...]

    def of(self, own: Sequence[Announcement]) -> list[Announcement]:
        """Return what devices found out, the agreed masks included and the scores, now done with, left out."""
        return [replace(a, others={**a.others, NEGOTIATED: self.masks[a.device]}, scores=None) for a in own]

    def charge(self, method: str, ledger: Ledger) -> list[dict[tuple[int, int], int]]:
        """Count what was sent in round 0 of ``method``; return the bytes by link, hop by hop."""
        found: list[dict[tuple[int, int], int]] = []
        for hop in self.hops:
            carried = Counter[tuple[int, int]]()
            for sent in hop:
                ledger.record(method, 0, sent.sender, sent.receiver, sent.split, sent.relayed)
                carried[sent.sender, sent.receiver] += sum(sent.split.values())
            found.append(carried)
        return found

    def facts(self) -> dict[str, Any]:
        """Return what results keep of it."""
        return {
            "among": [list(members) for members in self.parts],
            "collision_between_groups": list(self.between),
            "collision_measured": list(self.measured),
            "density_change": list(self.change),
        }


IDLE = (
    "clusters.masks=negotiated changes nothing: no method of the run adds expansions, as paper, paper_masked and "
    "shared_b do"
)
"""What a user should know where nobody negotiates."""


def negotiates(config: RunConfig, methods: Sequence[Method]) -> bool:
    """Return whether the masks of some method are negotiated."""
    return config.clusters.masks == "negotiated" and any(method.masks.negotiable for method in methods)
