"""When groups claim their masks, and over which devices their messages go: what all devices of a part know beforehand.

A part is a cluster, or those of one that can hear of each other. Its links and who is of which group were told when
clusters were formed, so every device computes the same schedule by itself. Time passes in hops: what is sent in one
has arrived before the next begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["proposal", "claim"]


@dataclass(frozen=True)
class RelayTree:
    """How a message gets from its source to all that it is for, over each link once.

    Attributes:
        parents: by device that it reaches, from whom.
        children: by device that sends it, to whom, ids ascending.
        depth: hops that it takes.
    """

    parents: Mapping[int, int]
    children: Mapping[int, tuple[int, ...]]
    depth: int


@dataclass(frozen=True)
class MaskTurn:
    """One group's turn.

    Attributes:
        group: its key.
        mates: its devices, ids ascending; the first sends the claim.
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
        graph: neighbours by device, ids ascending; links go both ways, and everybody can be reached.
        groups: the group of every device.

    Attributes:
        groups: the group of every device.
        turns: by group, in the order of their sorted keys.
        hops: how many there are in all.
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
        """Return the way of a proposal to the rest of its source's group, or of a claim to all other groups."""
        found = self._trees.get((kind, source))
        if found is None:
            mates = set(self._mates[self.groups[source]])
            targets = mates - {source} if kind == "proposal" else self.groups.keys() - mates
            found = self._trees[kind, source] = relay_tree(self._graph, source, targets)
        return found


def relay_tree(graph: Mapping[int, Sequence[int]], source: int, targets: Collection[int]) -> RelayTree:
    """Return shortest ways from ``source`` to ``targets``, over the lower ids where there are several.

    Args:
        graph: neighbours by device, ids ascending.
        source: a device of the graph.
        targets: others that can be reached from it.
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
