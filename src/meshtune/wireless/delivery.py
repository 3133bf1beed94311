"""Packet loss and retransmission: what a payload really costs in time, energy and bytes, and whether it arrives.

Every transmission of every packet is lost independently with the same probability. A lost packet is retransmitted at
most ``retransmissions`` times. If it is still lost, the payload is not delivered, but everything sent is charged: the
sender learns of the last loss after everything else was sent. Headers and acknowledgements are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshtune.seeds import stream
from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.config import LossConfig
from meshtune.wireless.link import energy
from meshtune.wireless.orthogonal_bands import LinkBudget, per_sender


@dataclass(frozen=True)
class Delivery:
    """The outcome of an exchange for L links of n devices.

    Attributes:
        arrived: (L,) whether the whole payload arrived.
        sent_bytes: (L,) bytes sent over this link, retransmissions included; 0 for a link in outage. In a broadcast
            all links served by a sender share these bytes.
        delay: (L,) seconds on the air, retransmissions included; infinite in outage.
        sender_bytes: (n,) bytes sent by each device; a broadcast counts once.
        sender_energy: (n,) joules of each device; a broadcast counts once.
    """

    arrived: Bools
    sent_bytes: Ints
    delay: Floats
    sender_bytes: Ints
    sender_energy: Floats


def deliver(
    config: LossConfig,
    budget: LinkBudget,
    sender: Ints,
    receiver: Ints,
    payload: Numbers,
    seed: int,
    round_: int,
    one_copy: bool = False,
) -> Delivery:
    """Simulate the losses of one exchange.

    The losses of a link have their own random stream under (seed, round, sender, receiver), independent of other links.
    This takes some 20 microseconds per link. If nothing can be lost, nothing is drawn.

    Args:
        config: packets and losses.
        budget: of the same links.
        sender: (L,)
        receiver: (L,)
        payload: bytes of each device's payload, (n,) or one number; the budget was computed for it.
        seed: the run's seed.
        round_: of the draws.
        one_copy: whether this is a broadcast: a packet is retransmitted until no receiver misses it.
    """
    devices = len(budget.u)
    payload = np.broadcast_to(np.asarray(payload, dtype=np.int64), (devices,))
    whole = payload[sender]
    arrived = budget.served.copy()
    sent = np.where(budget.served, whole, 0)
    if config.probability > 0:
        most = config.retransmissions + 1
        copy = sender if one_copy else np.arange(len(sender))  # links of one copy share its retransmissions
        rounds: dict[int, Ints] = {}
        links = np.flatnonzero(budget.served)
        for link in links:
            packets = -(-int(whole[link]) // config.packet)
            own = _attempts(config.probability, packets, seed, round_, int(sender[link]), int(receiver[link]))
            arrived[link] = (own <= most).all()
            rounds[copy[link]] = np.maximum(own, rounds.get(copy[link], 0))
        for link in links:
            sent[link] = _bytes(np.minimum(rounds[copy[link]], most), int(whole[link]), config.packet)
    times = np.divide(sent, whole, out=np.ones(len(sender)), where=sent > 0)
    delay = budget.delay * times
    return Delivery(
        arrived=arrived,
        sent_bytes=sent,
        delay=delay,
        sender_bytes=per_sender(sent, sender, devices, one_copy).astype(np.int64),
        sender_energy=per_sender(energy(budget.power, delay), sender, devices, one_copy),
    )


def _attempts(probability: float, packets: int, seed: int, round_: int, sender: int, receiver: int) -> Ints:
    """Return the transmission at which the receiver gets each packet, ignoring the maximum, (packets,), from 1."""
    draw = stream(seed, "loss", round_, sender, receiver)
    return draw.geometric(1 - probability, packets)


def _bytes(times: Ints, payload: int, packet: int) -> int:
    """Return the bytes of all transmissions if packets are sent ``times`` times; the last packet is shorter."""
    full = int(times.sum()) * packet
    return full - int(times[-1]) * (len(times) * packet - payload) if len(times) else 0
