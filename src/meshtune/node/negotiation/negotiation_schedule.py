"""When groups claim their masks and over which devices their messages travel; all devices of a part know this upfront.

A part is a cluster, or a connected part of one. Its links and the group of each device were announced when clusters
were formed, so every device computes the same schedule by itself. Time is divided into hops: what is sent in one hop
has arrived before the next begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["proposal", "claim"]


@dataclass(frozen=True)
class RelayTree:
    """The route of a message from its source to all its targets; it crosses each link once.

    Attributes:
        parents: per device reached, the device it receives the message from.
        children: per sending device, the devices it sends to, ids ascending.
        depth: the number of hops.
    """

    parents: Mapping[int, int]
    children: Mapping[int, tuple[int, ...]]
    depth: int


@dataclass(frozen=True)
class MaskTurn:
    """One group's turn.

    Attributes:
        group: its key.
        mates: its devices, ids ascending; the first one sends the claim.
        proposals: the hop in which they send their proposals.
        claim: the hop in which the claim is sent.
    """

    group: str
    mates: tuple[int, ...]
    proposals: int
    claim: int


class NegotiationSchedule:
    """The turns of one part.

    Args:
        graph: neighbours by device, ids ascending; links are bidirectional and the graph is connected.
        groups: the group of every device.

    Attributes:
        groups: the group of every device.
        turns: the turn of each group, in the order of the sorted keys.
        hops: the total number of hops.
    """

    def __init__(self, graph: Mapping[int, Sequence[int]], groups: Mapping[int, str]) -> None:
        self._graph, self.groups = graph, groups
        keys = sorted(set(groups.values()))
        self._mates = {key: tuple(sorted(d for d in groups if groups[d] == key)) for key in keys}
        self._trees: dict[tuple[Kind, int], RelayTree] = {}
        self.turns: dict[str, MaskTurn] = {}
        hop = 0
        for key, mates in self._mates.items():
            claim = hop + max(self.tree("proposal", device).depth for device in mates)
            self.turns[key] = MaskTurn(key, mates, hop, claim)
            hop = claim + self.tree("claim", mates[0]).depth
        self.hops = hop

    def tree(self, kind: Kind, source: int) -> RelayTree:
        """Return the route of a proposal to the rest of its source's group, or of a claim to all other groups."""
        found = self._trees.get((kind, source))
        if found is None:
            mates = set(self._mates[self.groups[source]])
            targets = mates - {source} if kind == "proposal" else self.groups.keys() - mates
            found = self._trees[kind, source] = relay_tree(self._graph, source, targets)
        return found


def relay_tree(graph: Mapping[int, Sequence[int]], source: int, targets: Collection[int]) -> RelayTree:
    """Return shortest paths from ``source`` to ``targets``; ties go to the lower ids.

    Args:
        graph: neighbours by device, ids ascending.
        source: a device of the graph.
        targets: other devices, reachable from it.
    """
    parents, depth = {source: source}, {source: 0}
    left, order = set(targets) - {source}, [source]
    for device in order:
        if not left:
            break
        for near in graph[device]:
            if near not in parents:
                parents[near], depth[near] = device, depth[device] + 1
                order.append(near)
                left.discard(near)
    used: set[int] = set()
    for device in targets:
        while device not in used and device != source:
            used.add(device)
            device = parents[device]
    children: dict[int, list[int]] = {}
    for device in order:
        if device in used:
            children.setdefault(parents[device], []).append(device)
    return RelayTree(
        {device: parents[device] for device in used},
        {device: tuple(ends) for device, ends in children.items()},
        max((depth[device] for device in used), default=0),
    )
