"""One exchange: every device publishes its update to its neighbours and passes on what they cannot hear themselves.

Bytes are those of the encoded payload, counted once per receiver. What arrives is what the payload decodes to, so a
device's own copy is rounded like everybody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from meshtune.exchange.ledger import Ledger
from meshtune.exchange.payload import Message, byte_split, decode, encode
from meshtune.methods.base import Member, Method, Update

Carried = dict[tuple[int, int], dict[int, int]]
"""Per directed link (sender, receiver): the newest version of each source's update that crossed it."""


def exchange(
    method: Method,
    members: Sequence[Member],
    graph: Mapping[int, Sequence[int]],
    version: int,
    dtype: torch.dtype,
    relay: bool,
    carried: Carried,
    ledger: Ledger,
) -> None:
    """Publish every member's values as ``version`` and deliver them over ``graph``; updates ``held`` in place.

    Args:
        method: decides whether anything is sent and relayed.
        members: one per device, by id.
        graph: neighbours by device id.
        version: the number of rounds trained so far.
        dtype: element type on the air.
        relay: whether devices pass on others' updates.
        carried: what crossed each link so far; updated.
        ledger: counts what leaves a device.
    """
    published: dict[int, Update] = {}
    splits: dict[tuple[int, int], dict[str, int]] = {}
    for member in members:
        values = member.expert.values.detach().to("cpu", dtype)
        message = Message("update", member.device, version, member.device, {}, {"values": values})
        data = encode(message)
        published[member.device] = Update(member.device, version, decode(data).tensors["values"])
        splits[member.device, version] = byte_split(message, data)
    arriving: list[tuple[int, Update]] = list(published.items())
    before = {link: dict(crossed) for link, crossed in carried.items()}
    if method.exchanges:
        for sender in members:
            for receiver in graph[sender.device]:
                mine = published[sender.device]
                ledger.record(
                    method.name, version, sender.device, receiver, splits[mine.source, version], relayed=False
                )
                arriving.append((receiver, mine))
                if relay and method.relays:
                    arriving += _relayed(method, sender, receiver, graph, version, carried, before, ledger)
    for receiver, update in arriving:
        held = members[receiver].held.get(update.source)
        if held is None or held.version < update.version:
            members[receiver].held[update.source] = update


def _relayed(
    method: Method,
    sender: Member,
    receiver: int,
    graph: Mapping[int, Sequence[int]],
    version: int,
    carried: Carried,
    before: Carried,
    ledger: Ledger,
) -> list[tuple[int, Update]]:
    """Return what ``sender`` passes on: updates it held before this round that the receiver cannot hear directly.

    Both ends of a link send at the same time: ``before`` is what had crossed it when the round began.
    """
    crossed = carried.setdefault((sender.device, receiver), {})
    back = before.get((receiver, sender.device), {})
    passed = []
    for source in sorted(sender.held):
        update = sender.held[source]
        direct = source in (sender.device, receiver) or receiver in graph[source]
        if direct or max(crossed.get(source, 0), back.get(source, 0)) >= update.version:
            continue
        data = Message("update", sender.device, version, source, {"version": update.version}, {"values": update.values})
        ledger.record(method.name, version, sender.device, receiver, byte_split(data, encode(data)), relayed=True)
        crossed[source] = update.version
        passed.append((receiver, update))
    return passed
