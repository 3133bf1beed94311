"""What is passed on hop by hop over a whole graph: who sends whom what, and which links are given up.

Plans count by these rules, and nodes come to the same from what neighbours tell them (:mod:`meshtune.node.node`).
Each device receives what it lacks once: an update from the lowest neighbour that has it and sends it nothing else in
this window; an announcement, of which a link takes any number, from its source where that is a neighbour, else from
the lowest neighbour that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

Hop = tuple[int, int, int]
"""Sender, receiver, and whose it is; of updates at most one a link, and in a broadcast one a sender."""


def spread(graph: Mapping[int, Sequence[int]], known: Sequence[Iterable[int]]) -> Iterator[list[Hop]]:
    """Yield who receives whose announcement, hop by hop, until everybody knows what its part of the graph knows.

    Each device receives each once, from the source itself where that is its neighbour, else by the lowest neighbour
    that knows it.

    Args:
        graph: neighbours by device id, 0 to n - 1, ids ascending.
        known: (n,) whose announcements each device has at the start, its own among them.
    """
    holds = [sum(1 << source for source in sources) for sources in known]  # sets of sources, one bit each
    fresh = list(holds)  # what came in the hop before: neighbours have been brought the rest
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
    """Return who receives what in one window; nothing where nobody can receive anything more.

    Args:
        graph: neighbours by device id, ids ascending.
        links: (sender, receiver) that have not been given up.
        lacking: for a receiver and those who may send to it, the sources of updates that it lacks, ascending; those
            that no sender has may be left out.
        provides: whether a sender can bring a receiver the update of a source.
        one_copy: a broadcast: of what is asked of a sender it sends the update of the lowest source, and that only.
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
    """Return the links in outage that would not fit alone either: those of a sender of whom nothing was served.

    In a broadcast these are all that were not served, for each has the whole power.
    """
    heard = {sender for (sender, _, _), fits in zip(hops, served, strict=True) if fits}
    return [
        (sender, receiver)
        for (sender, receiver, _), fits in zip(hops, served, strict=True)
        if not fits and (one_copy or sender not in heard)
    ]


def members(bits: int) -> Iterator[int]:
    """Return the places of the bits that are set, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
