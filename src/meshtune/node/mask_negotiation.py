"""Masks negotiated over the air, before the handshake: the groups of a cluster claim positions in turn.

A group with several devices in the cluster first agrees within itself: each sends the others its proposal, and all
take the vote. Its lowest device then sends the claim to all other devices of the cluster. All methods that take
negotiated masks have the same, and each is charged what was sent, for each is a federation of its own. All clusters
negotiate at the same time. Who is of which group has been known since clusters were formed, like densities.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from meshtune.adapter.mask import collision_rate, join
from meshtune.adapter.mask_claims import Mask, Turn, negotiate
from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.state import NEGOTIATED, Announcement, Masks
from meshtune.node.receiving import mask_of
from meshtune.topology.graphs import components
from meshtune.training.divergence import handshake_errors
from meshtune.wire.ledger import Ledger
from meshtune.wire.payload import Message, byte_split, decode, encode
from meshtune.wire.plain_values import fact, text
from meshtune.wire.positions import encode_positions
from meshtune.wire.validation import Receiver, check_envelope


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
        between: per part, the share of positions that two or more groups use.
        measured: per part, the share that two or more devices use; those of a group share a mask on purpose.
        change: per part, by how much a layer's density differs most from that in the device's own mask.
    """

    parts: tuple[tuple[int, ...], ...]
    masks: Mapping[int, Masks]
    hops: tuple[tuple[Sent, ...], ...]
    between: tuple[float, ...]
    measured: tuple[float, ...]
    change: tuple[float, ...]

    @property
    def told(self) -> dict[int, dict[int, Masks]]:
        """By device the masks that it knows once all claims are made: those of its own part."""
        return {device: {mate: self.masks[mate] for mate in members} for members in self.parts for device in members}

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


@handshake_errors()
def agree(own: Sequence[Announcement], inner: Mapping[int, Sequence[int]], sizes: Sequence[int]) -> Agreement:
    """Let the groups of every cluster claim their positions.

    Args:
        own: what every device found out, its scores included, by id.
        inner: neighbours within clusters.
        sizes: d r of every layer.
    """
    parts = components(inner)
    masks: dict[int, Masks] = {}
    each: list[list[list[Sent]]] = []
    between, measured, change = [], [], []
    for members in parts:
        groups = {device: own[device].group for device in members}
        scores = {device: _by_layer(own[device], sizes) for device in members}
        counts = {device: [len(positions) for positions in own[device].masks] for device in members}
        turns = negotiate(scores, counts, groups, sizes)
        hops: list[list[Sent]] = []
        for turn in turns:
            sent, claim = _told(turn, members, inner, sizes)
            hops += sent
            masks.update(dict.fromkeys(turn.proposals, tuple(claim)))
        each.append(hops)
        first = [next(iter(turn.proposals)) for turn in turns]
        between.append(collision_rate([masks[device] for device in first], sizes))
        measured.append(collision_rate([masks[device] for device in members], sizes))
        moved = [np.abs(np.subtract([len(p) for p in masks[d]], counts[d])) / np.array(sizes) for d in members]
        change.append(float(np.max(moved)))
    together = itertools.zip_longest(*each, fillvalue=[])
    return Agreement(
        parts,
        masks,
        tuple(tuple(itertools.chain.from_iterable(hop)) for hop in together),
        tuple(between),
        tuple(measured),
        tuple(change),
    )


def _by_layer(own: Announcement, sizes: Sequence[int]) -> list[Any]:
    assert own.scores is not None
    return np.split(own.scores, np.cumsum(sizes)[:-1])


def _told(
    turn: Turn, members: Sequence[int], graph: Mapping[int, Sequence[int]], sizes: Sequence[int]
) -> tuple[list[list[Sent]], Mask]:
    """Return what one turn sends, hop by hop, and the claim as it arrives."""
    mates = list(turn.proposals)
    hops: list[list[Sent]] = []
    if len(mates) > 1:
        said = [_spread(_message("proposal", d, turn.proposals[d], sizes), mates, graph) for d in mates]
        hops += [list(itertools.chain.from_iterable(hop)) for hop in itertools.zip_longest(*said, fillvalue=())]
    message = _message("claim", mates[0], turn.claim, sizes, {"group": turn.group})
    hops += _spread(message, [device for device in members if device not in mates], graph)
    return hops, claimed(decode(encode(message)), "claim", sizes)


def claimed(message: Message, kind: str, sizes: Sequence[int], receiver: Receiver | None = None) -> Mask:
    """Return the positions in a message of ``kind`` proposal or claim, ``sizes`` being d r of every layer.

    Raises:
        PayloadError: it is of another kind or round, names no group, or its mask does not fit the layers.
    """
    check_envelope(message, kind, receiver or Receiver())
    if kind == "claim":
        text(fact(message.meta, "group"), f"the group of device {message.source}")
    return mask_of(message, sizes)


def _message(
    kind: str, device: int, mask: Mask, sizes: Sequence[int], meta: Mapping[str, Any] | None = None
) -> Message:
    packed = torch.frombuffer(bytearray(encode_positions(join(mask, sizes), sum(sizes))), dtype=torch.uint8)
    return Message(kind, device, 0, device, meta or {}, {"mask": packed})


def _spread(message: Message, to: Collection[int], graph: Mapping[int, Sequence[int]]) -> list[list[Sent]]:
    """Return how a message gets from its source to devices ``to``, hop by hop, each link of the way used once.

    Ways are shortest ones, over the lower ids where there are several.
    """
    came: dict[int, int] = {message.source: message.source}
    order = [message.source]
    for device in order:
        for near in graph[device]:
            if near not in came:
                came[near] = device
                order.append(near)
    used = {end for device in to if device in came for end in _way(device, came)}
    depth = {message.source: 0}
    splits: dict[int, dict[str, int]] = {}
    hops: list[list[Sent]] = []
    for device in (device for device in order[1:] if device in used):
        sender = came[device]
        depth[device] = depth[sender] + 1
        if depth[device] > len(hops):
            hops.append([])
        if sender not in splits:
            passed = replace(message, sender=sender)
            splits[sender] = byte_split(passed, encode(passed))
        hops[-1].append(Sent(sender, device, splits[sender], sender != message.source))
    return hops


def _way(device: int, came: Mapping[int, int]) -> Iterator[int]:
    """Yield the devices on the way back from ``device``, itself first, the source left out."""
    while came[device] != device:
        yield device
        device = came[device]
