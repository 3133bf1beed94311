"""Multi-hop dissemination over a whole graph: who sends what to whom, and which links are given up.

Plans count by these rules. Nodes reach the same result from their neighbours' messages (:mod:`meshtune.node.node`).
Each device receives what it lacks once. An update comes from the lowest-numbered neighbour that has it and sends it
nothing else in this window. A link carries any number of announcements; an announcement comes from its source if that
is a neighbour, otherwise from the lowest-numbered neighbour that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

Hop = tuple[int, int, int]
"""Sender, receiver, source; for updates at most one per link, and in a broadcast one per sender."""


def spread(graph: Mapping[int, Sequence[int]], known: Sequence[Iterable[int]]) -> Iterator[list[Hop]]:
    """Yield who receives whose announcement, hop by hop, until every device has all announcements of its component.

    Each device receives each announcement once: from its source if that is a neighbour, otherwise from the
    lowest-numbered neighbour that has it.

    Args:
        graph: neighbours by device id, 0 to n - 1, ids ascending.
        known: (n,) the sources whose announcements each device has at the start, itself included.
    """
    holds = [sum(1 << source for source in sources) for sources in known]  # sets of sources, one bit each
    fresh = list(holds)  # received in the previous hop; neighbours already have the rest
    while True:
        found: list[Hop] = []
        coming = [0] * len(holds)
        for receiver, near in sorted(graph.items()):
            offered = 0
            for device in near:
                offered |= fresh[device]
            coming[receiver] = offered & ~holds[receiver]
            direct = set(near) if coming[receiver] else set()
            for source in members(coming[receiver]):
                knows = (device for device in near if fresh[device] >> source & 1)
                found.append((source if source in direct else next(knows), receiver, source))
        if not found:
            return
        yield found
        fresh = coming
        holds = [had | new for had, new in zip(holds, coming, strict=True)]


def window(
    graph: Mapping[int, Sequence[int]],
    links: Collection[tuple[int, int]],
    lacking: Callable[[int, Sequence[int]], Iterable[int]],
    provides: Callable[[int, int, int], bool],
    one_copy: bool,
) -> list[Hop]:
    """Return who receives what in one window; empty when nobody can receive anything more.

    Args:
        graph: neighbours by device id, ids ascending.
        links: (sender, receiver) pairs that have not been given up.
        lacking: for a receiver and its possible senders, the sources of the updates it lacks, ascending; sources that
            no sender has may be omitted.
        provides: whether a sender can send a receiver the update of a source.
        one_copy: whether this is a broadcast: of the updates requested from it, a sender sends only the one with the
            lowest source.
    """
    found: list[Hop] = []
    for receiver in sorted(graph):
        senders = [sender for sender in graph[receiver] if (sender, receiver) in links]
        for source in lacking(receiver, tuple(senders)):
            provider = next((sender for sender in senders if provides(sender, receiver, source)), None)
            if provider is not None:
                found.append((provider, receiver, source))
                senders.remove(provider)
            if not senders:
                break
    if not one_copy:
        return found
    lowest: dict[int, int] = {}
    for sender, _, source in found:
        lowest[sender] = min(source, lowest.get(sender, source))
    return [hop for hop in found if hop[2] == lowest[hop[0]]]


def outages(hops: Sequence[Hop], served: Sequence[bool], one_copy: bool) -> list[tuple[int, int]]:
    """Return the links in outage that would not fit alone either: those of senders with no served link at all.

    In a broadcast these are all links that were not served, because each has the full power.
    """
    heard = {sender for (sender, _, _), fits in zip(hops, served, strict=True) if fits}
    return [
        (sender, receiver)
        for (sender, receiver, _), fits in zip(hops, served, strict=True)
        if not fits and (one_copy or sender not in heard)
    ]


def members(bits: int) -> Iterator[int]:
    """Yield the positions of the set bits, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
