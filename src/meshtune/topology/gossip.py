"""Decentralised clustering: runs all devices of `peer` side by side and delivers their messages.

The result equals that of `agnes`, regardless of delays and the order of arrival. The cost is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from meshtune.seeds import stream
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import Clusters, assemble, check
from meshtune.topology.collision import Use
from meshtune.topology.config import TieBreak
from meshtune.topology.hearing import Terms
from meshtune.topology.messages import ClusterMessage, Hello
from meshtune.topology.peer import Peer


@dataclass
class GossipTraffic:
    """The messages sent (one to many counts once), the copies received, and the bytes sent."""

    messages: int = 0
    copies: int = 0
    bytes: int = 0


def settle(peers: Collection[Peer], pick: Callable[[int], int]) -> GossipTraffic:
    """Deliver messages until no device has any more to send.

    Args:
        peers: all devices.
        pick: given the number of copies in transit, returns the index (from 0) of the one that arrives next.
    """
    by_id = {peer.device: peer for peer in peers}
    traffic = GossipTraffic()
    under_way: list[tuple[int, ClusterMessage]] = []

    def send(messages: list[ClusterMessage]) -> None:
        for message in messages:
            traffic.messages += 1
            traffic.bytes += message.nbytes
            under_way.extend((device, message) for device in message.to)

    for peer in peers:
        send(peer.start())
    while under_way:
        at = pick(len(under_way))
        under_way[at], under_way[-1] = under_way[-1], under_way[at]
        device, message = under_way.pop()
        traffic.copies += 1
        send(by_id[device].receive(message))
    return traffic


def peers(air: LinkBounds, use: Use, s_max: float = 0.1, epoch: int = 0, tie_break: TieBreak = "energy") -> list[Peer]:
    """Return the devices of ``air``, each knowing itself and its measured costs to those in range.

    Raises:
        UserError: as :func:`meshtune.topology.agnes.form`.
    """
    check(air, use, s_max)
    terms = Terms(epoch, s_max, air.reach, air.most, air.scale, use.whole, use.weights, tie_break)
    ids = air.ids.tolist()
    losses: list[dict[int, int]] = [{} for _ in ids]
    low, high = air.links.low, air.links.high
    for a, b in ((low, high), (high, low)):
        for rank, other, ticks in zip(a.tolist(), b.tolist(), air.report(a, b).tolist(), strict=True):
            losses[rank][ids[other]] = ticks
    return [
        Peer(
            ids[rank], Hello((float(x), float(y)), float(air.power[rank]), use.announced[air.rows[rank]]), heard, terms
        )
        for rank, ((x, y), heard) in enumerate(zip(air.positions, losses, strict=True))
    ]


def gossip(
    air: LinkBounds, use: Use, s_max: float = 0.1, seed: int = 0, epoch: int = 0, tie_break: TieBreak = "energy"
) -> tuple[Clusters, GossipTraffic]:
    """Return the clusters that the devices agree on among themselves, and the traffic this took.

    Args:
        air, use, s_max: as for :func:`meshtune.topology.agnes.form`.
        seed: of the order in which messages arrive.
        epoch: number of this clustering run.
        tie_break: as for :func:`meshtune.topology.agnes.form`.

    Raises:
        UserError: as :func:`meshtune.topology.agnes.form`.
    """
    devices = peers(air, use, s_max, epoch, tie_break)
    draw = stream(seed, "gossip", epoch)
    traffic = settle(devices, lambda under_way: int(draw.integers(under_way)))
    history = [pair for peer in devices if peer.leads for pair in peer.merges]
    return assemble(air, use, s_max, history), traffic
