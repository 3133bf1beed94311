"""Exchange over orthogonal bands: which links are served, and at which power, rate, delay and energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.link import Radio, delay, energy, rate, required_power
from meshtune.wireless.selection import select


@dataclass(frozen=True)
class LinkBudget:
    """The outcome of one exchange, for L links of n devices.

    A link that is not served is in outage: its power and rate are 0 and its delay infinite.

    Attributes:
        served: (L,) whether the payload fits on the link.
        power: (L,) W; in a broadcast the sender's one power, on every link it serves.
        rate: (L,) bit/s.
        delay: (L,) seconds on the air.
        u: (n,) number of neighbours that each device serves.
        sender_power: (n,) W of each device over all its links; a broadcast counts once.
        sender_energy: (n,) joules of each device; a broadcast counts once.
        slot: (n,) the turn in which each device sends, from 0; all 0 unless devices share a band. A turn lasts
            ``radio.gamma``.
    """

    served: Bools
    power: Floats
    rate: Floats
    delay: Floats
    u: Ints
    sender_power: Floats
    sender_energy: Floats
    slot: Ints


def unicast(radio: Radio, bits: Numbers, sender: Ints, gain: Floats, devices: int) -> LinkBudget:
    """Send one copy each to as many neighbours as power allows, each in its share of the band.

    Args:
        radio: the radio of every device.
        bits: of the payload of each device, (devices,) or one number.
        sender: (L,) the sending device of each link.
        gain: (L,) of the round, linear.
        devices: number of devices.
    """
    bits = np.broadcast_to(np.asarray(bits, dtype=np.float64), (devices,))
    served, u = select(radio, bits, sender, gain, devices)
    shares = np.maximum(u, 1)
    received = required_power(radio, bits, 1.0, shares)
    power = np.divide(received[sender], gain, out=np.zeros(len(gain)), where=served)
    return settled(
        bits, sender, served, power, rate(radio, power, gain, shares[sender]), np.zeros(devices, dtype=np.int64)
    )


def broadcast(radio: Radio, bits: Numbers, sender: Ints, gain: Floats, devices: int) -> LinkBudget:
    """Send one copy for all, in the whole band, at the power that the weakest neighbour served needs.

    Arguments as in :func:`unicast`. Every neighbour within reach of p_max is served.
    """
    bits = np.broadcast_to(np.asarray(bits, dtype=np.float64), (devices,))
    needed = required_power(radio, bits[sender], gain)
    served = needed <= radio.p_max
    power = per_sender(np.where(served, needed, 0.0), sender, devices, one_copy=True)[sender] * served
    return settled(
        bits, sender, served, power, rate(radio, power, gain), np.zeros(devices, dtype=np.int64), one_copy=True
    )


def settled(
    bits: Floats,
    sender: Ints,
    served: Bools,
    power: Floats,
    rate: Floats,
    slot: Ints,
    one_copy: bool = False,
) -> LinkBudget:
    """Return the budget of links whose powers and rates are known.

    Args:
        bits: (n,) of each device's payload.
        sender: (L,) the sending device of each link.
        served: (L,) whether the link is served.
        power: (L,) W, 0 if not served.
        rate: (L,) bit/s that the link allows.
        slot: (n,) the turn in which each device sends.
        one_copy: whether this is a broadcast: power counts once per sender, and all its links have the slowest's rate.
    """
    devices = len(slot)
    if one_copy:
        slowest = np.full(devices, np.inf)
        np.minimum.at(slowest, sender[served], rate[served])
        rate = slowest[sender]
    rate = np.where(served, rate, 0.0)
    took = np.where(served, delay(bits[sender], rate), np.inf)
    return LinkBudget(
        served=served,
        power=power,
        rate=rate,
        delay=took,
        u=np.bincount(sender, served, devices).astype(np.int64),
        sender_power=per_sender(power, sender, devices, one_copy),
        sender_energy=per_sender(energy(power, took), sender, devices, one_copy),
        slot=slot,
    )


def per_sender(values: Floats, sender: Ints, devices: int, one_copy: bool = False) -> Floats:
    """Return what each device spends, (devices,): the sum over its links, or the largest for a broadcast."""
    if not one_copy:
        total: Floats = np.bincount(sender, values, devices).astype(np.float64)  # bincount of no links is integer
        return total
    found = np.zeros(devices)
    np.maximum.at(found, sender, values)
    return found
