"""The masks that the groups of every cluster negotiated, and what the negotiation cost.

All methods with negotiated masks share one result. Each is charged for all messages, because each is a federation of
its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.methods.state import NEGOTIATED, Announcement, Masks
from meshtune.wire.ledger import Ledger


@dataclass(frozen=True)
class Sent:
    """One message over one link: its ends, its bytes by use, and whether it is relayed for another device."""

    sender: int
    receiver: int
    split: Mapping[str, int]
    relayed: bool


@dataclass(frozen=True)
class Agreement:
    """The result of negotiation in every cluster.

    Attributes:
        parts: the sets of devices that negotiated with each other: clusters, or connected parts of one.
        masks: the mask of every device.
        hops: the messages sent over links, hop by hop; the messages of one hop are sent at the same time.
        known: per device, the masks it knows once all claims are made: those of its own part.
        between: per part, the share of positions used by two or more groups.
        measured: per part, the share used by two or more devices; devices of one group share a mask on purpose.
        change: per part, the largest difference between a layer's density and its density in the device's own mask.
    """

    parts: tuple[tuple[int, ...], ...]
    masks: Mapping[int, Masks]
    known: Mapping[int, Mapping[int, Masks]]
    hops: tuple[tuple[Sent, ...], ...]
    between: tuple[float, ...]
    measured: tuple[float, ...]
    change: tuple[float, ...]

    def of(self, own: Sequence[Announcement]) -> list[Announcement]:
        """Return the announcements with the agreed masks added and the scores, no longer needed, removed."""
        return [replace(a, others={**a.others, NEGOTIATED: self.masks[a.device]}, scores=None) for a in own]

    def charge(self, method: str, ledger: Ledger) -> list[dict[tuple[int, int], int]]:
        """Record the messages in round 0 of ``method``; return the bytes by link, hop by hop."""
        found: list[dict[tuple[int, int], int]] = []
        for hop in self.hops:
            carried = Counter[tuple[int, int]]()
            for sent in hop:
                ledger.record(method, 0, sent.sender, sent.receiver, sent.split, sent.relayed)
                carried[sent.sender, sent.receiver] += sum(sent.split.values())
            found.append(carried)
        return found

    def facts(self) -> dict[str, Any]:
        """Return the part of it that results record."""
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
"""Warning for a run in which nobody negotiates."""


def check_negotiated(config: RunConfig, methods: Sequence[Method]) -> None:
    """Check that masks that are to be negotiated are those that calibration ranks.

    Raises:
        UserError: a method whose masks are negotiated has projections of each device's own, or trains for its masks.
    """
    if not negotiates(config, methods):
        return
    odd = next((method for method in methods if method.masks.negotiable and method.masks.own(config.paper)), None)
    if odd is not None:
        raise UserError(
            f"clusters.masks=negotiated: the groups of a cluster claim masks that are ranked by gradients after one "
            f"projection per group, and {odd.name} has paper.projection={config.paper.projection} and "
            f"paper.masks={config.paper.masks}: set paper.projection=group and paper.masks=calibrated, or "
            "clusters.masks=own"
        )


def negotiates(config: RunConfig, methods: Sequence[Method]) -> bool:
    """Return whether any method's masks are negotiated."""
    return config.clusters.masks == "negotiated" and any(method.masks.negotiable for method in methods)
