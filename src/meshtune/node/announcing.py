"""Announcements on their way: each is brought to each device that lacks it once, before the first round and later.

Neighbours know what each other know, from beacons, which are not modelled (:mod:`meshtune.node.dissemination`). Every
copy is counted: what its source sends by kind, what others pass on as relayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from meshtune.methods.state import Announcement
from meshtune.node.dissemination import spread
from meshtune.wire.ledger import Ledger

Parcel = tuple[Announcement, Sequence[Mapping[str, int]]]
"""An announcement as it arrives, and the bytes by use of each of its messages."""


def tell(
    known: Sequence[MutableMapping[int, Announcement]],
    graph: Mapping[int, Sequence[int]],
    parcel: Callable[[int, int], Parcel],
    method: str,
    round_: int,
    ledger: Ledger,
) -> list[dict[tuple[int, int], int]]:
    """Let all announcements reach whoever lacks them; return the bytes by link, hop by hop.

    Args:
        known: by device id what it knows by source, itself included; whatever it is brought is added.
        graph: neighbours by device id, ids ascending.
        parcel: what is brought of a source to a receiver; asked before the hop's news are known.
        method: its name; bytes are counted as those of its round ``round_``.
        ledger: counts what leaves a device.
    """
    hops: list[dict[tuple[int, int], int]] = []
    for bringing in spread(graph, known):
        hop = Counter[tuple[int, int]]()
        news: list[tuple[int, Announcement]] = []
        for sender, receiver, source in bringing:
            announced, splits = parcel(source, receiver)
            for split in splits:
                ledger.record(method, round_, sender, receiver, split, relayed=source != sender)
            hop[sender, receiver] += sum(sum(split.values()) for split in splits)
            news.append((receiver, announced))
        for receiver, announced in news:
            known[receiver][announced.device] = announced
        hops.append(hop)
    return hops
