"""Updates that go on hop by hop: who brings whom what in one window, and which links are given up.

A round in flight and a plan go by the same rule. Neighbours know what each other hold, so each device is brought each
update that it lacks once, by the lowest of its neighbours that has it and sends it nothing else in this window.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

Hop = tuple[int, int, int]
"""Sender, receiver, and whose update it is; at most one a link, and in a broadcast one update a sender."""


def window(
    graph: Mapping[int, Sequence[int]],
    links: Collection[tuple[int, int]],
    lacking: Callable[[int, Sequence[int]], Iterable[int]],
    brings: Callable[[int, int, int], bool],
    one_copy: bool,
) -> list[Hop]:
    """Return who is brought what in one window; nothing where nobody can be brought anything more.

    Args:
        graph: neighbours by device id, ids ascending.
        links: (sender, receiver) that have not been given up.
        lacking: for a receiver and those who may send to it, the sources of updates that it lacks, ascending; those
            that no sender has may be left out.
        brings: whether a sender can bring a receiver the update of a source.
        one_copy: a broadcast: of what is asked of a sender it sends the update of the lowest source, and that only.
    """
    found: list[Hop] = []
    for receiver in sorted(graph):
        senders = [sender for sender in graph[receiver] if (sender, receiver) in links]
        for source in lacking(receiver, tuple(senders)):
            bringer = next((sender for sender in senders if brings(sender, receiver, source)), None)
            if bringer is not None:
                found.append((bringer, receiver, source))
                senders.remove(bringer)
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
