"""Lost packets and their repetition: what a payload really costs in time, energy and bytes, and whether it arrives.

Every transmission of every packet is lost on its own with the same probability. A lost packet is sent again, at most
``retransmissions`` times; if it is lost then too, the payload is not delivered, but all that was sent is charged: the
sender learns of the last loss when everything else is through. Headers and acknowledgements are not modelled.
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
    """What became of the payloads, for L links of n devices.

    Attributes:
        arrived: (L,) whether the whole payload did.
        sent_bytes: (L,) bytes that left the sender for this link, repetitions included; 0 of a link in outage. In a
            broadcast all links served by a sender share these bytes.
        delay: (L,) seconds on the air, repetitions included; infinite in outage.
        sender_bytes: (n,) bytes that left each device; a broadcast counts once.
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
    """Play the losses of one exchange.

    The losses of a link are a stream of their own under (seed, round, sender, receiver), whatever other links there
    are; which takes some 20 microseconds a link. Without losses nothing is drawn.

    Args:
        config: packets and losses.
        budget: of the same links.
        sender: (L,)
        receiver: (L,)
        payload: bytes of each device's payload, (n,) or one number; what the budget's bits are of.
        seed: the run's.
        round_: of the draws.
        one_copy: a broadcast: a packet is sent again as long as anybody misses it.
    """
    devices = len(budget.u)
    payload = np.broadcast_to(np.asarray(payload, dtype=np.int64), (devices,))
    whole = payload[sender]
    arrived = budget.served.copy()
    sent = np.where(budget.served, whole, 0)
    if config.probability > 0:
        most = config.retransmissions + 1
        copy = sender if one_copy else np.arange(len(sender))  # links of one copy share its packets' repetitions
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
    """Return at which transmission the receiver gets each packet, were they not bounded, (packets,), from 1 on."""
    draw = stream(seed, "loss", round_, sender, receiver)
    return draw.geometric(1 - probability, packets)


def _bytes(times: Ints, payload: int, packet: int) -> int:
    """Return the bytes of all transmissions when each packet is sent so many times; the last one is shorter."""
    full = int(times.sum()) * packet
    return full - int(times[-1]) * (len(times) * packet - payload) if len(times) else 0
