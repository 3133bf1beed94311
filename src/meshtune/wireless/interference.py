"""One band for all: devices that send at the same time disturb each other, and who sends cannot hear.

What is done, beyond the paper. (1) Half-duplex: devices take turns in slots so that nobody sends while a neighbour
sends to it (greedy colouring of the graph of links); each slot lasts Gamma. (2) Within a slot all devices of that
slot send at once, each spreading its power evenly over W, and a receiver hears the others' powers over their gains in
its link's share of the band, as noise. (3) Powers are the least that bring every link's delay to Gamma given each
other's: the least fixed point of Lemma 1's power with interference, from 0 upwards (Foschini and Miljanic 1993; Yates
1995). (4) Where it exceeds p_max, the device that exceeds it most gives up the link that needs the most power, and
powers are solved again. The best set of links would be NP-hard to find; this one is feasible, not always the largest.

Needs the gain between any two devices, so memory grows with the square of their number: for up to a few thousand.
"""

from __future__ import annotations

import numpy as np

from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.budget import LinkBudget, per_sender, settled
from meshtune.wireless.link import Radio, rate, required_power

_STEPS = 1000  # of the fixed point; powers that have not settled then are on the edge of what is feasible
_SETTLED = 1e-12  # relative change


def slots(sender: Ints, receiver: Ints, devices: int) -> Ints:
    """Return the slot in which each device sends, (devices,): never that of a device it sends to or hears from.

    Greedy in the order of ids: at most one slot more than the largest number of neighbours.
    """
    near: list[set[int]] = [set() for _ in range(devices)]
    for a, b in zip(sender.tolist(), receiver.tolist(), strict=True):
        near[a].add(b)
        near[b].add(a)
    found: list[int] = []
    for device in range(devices):
        taken = {found[other] for other in near[device] if other < device}
        found.append(next(slot for slot in range(len(taken) + 1) if slot not in taken))
    return np.array(found, dtype=np.int64)


def interference(slot: Ints, power: Floats, sender: Ints, receiver: Ints, gains: Floats, shares: Ints) -> Floats:
    """Return what each link hears of the other devices that send in its slot, (L,) W, in its share of the band.

    Args:
        slot: (n,) in which each device sends.
        power: (n,) W of each device over the whole band.
        sender: (L,).
        receiver: (L,).
        gains: (n, n) linear, symmetric.
        shares: (L,) parts that the link's sender splits the band into.
    """
    heard = np.empty(len(sender))
    for at in np.unique(slot[sender]):
        links = np.flatnonzero(slot[sender] == at)
        speakers = np.flatnonzero((slot == at) & (power > 0))
        reach = gains[np.ix_(receiver[links], speakers)] * power[speakers]
        reach[speakers == sender[links, None]] = 0.0
        heard[links] = reach.sum(axis=1)
    return heard / shares


def least_powers(
    radio: Radio, bits: Floats, sender: Ints, receiver: Ints, gains: Floats, slot: Ints, one_copy: bool = False
) -> tuple[Floats, Floats]:
    """Return the least powers that bring all links' delays to Gamma at once, and the interference they make.

    Args:
        radio: every device's.
        bits: (n,) of each device's payload.
        sender: (L,) who sends on the link.
        receiver: (L,) who listens; of another slot than the sender.
        gains: (n, n) linear, symmetric.
        slot: (n,) in which each device sends.
        one_copy: a broadcast: one transmission for all neighbours in the whole band, instead of one each.

    Returns:
        (L,) W of each link and (L,) W of interference. Iteration stops once a device needs more than p_max: what is
        returned then is a lower bound, and already too much; infinite where nothing has settled.
    """
    devices = len(slot)
    u = np.bincount(sender, minlength=devices)
    shares = np.ones(len(sender), dtype=np.int64) if one_copy else u[sender]
    power = np.zeros(len(sender))
    heard = np.zeros(len(sender))
    for _ in range(_STEPS):
        whole = per_sender(power, sender, devices, one_copy)
        heard = interference(slot, whole, sender, receiver, gains, shares)
        fresh = required_power(radio, bits[sender], gains[sender, receiver], shares, heard)
        if (per_sender(fresh, sender, devices, one_copy) > radio.p_max).any():
            return fresh, heard
        if (np.abs(fresh - power) <= _SETTLED * fresh).all():
            return fresh, heard
        power = fresh
    return np.full(len(sender), np.inf), heard


def shared(
    radio: Radio,
    bits: Numbers,
    sender: Ints,
    receiver: Ints,
    gains: Floats,
    considered: Bools | None = None,
    one_copy: bool = False,
) -> LinkBudget:
    """Send over one band that all devices share; see above.

    Args:
        radio: every device's.
        bits: of the payload of each device, (n,) or one number.
        sender: (L,) who sends on the link.
        receiver: (L,) who listens.
        gains: (n, n) of the round, linear, symmetric; the diagonal is not read.
        considered: (L,) which links may be served; None for all.
        one_copy: a broadcast: one transmission for all neighbours in the whole band, instead of one each.
    """
    devices = len(gains)
    bits = np.broadcast_to(np.asarray(bits, dtype=np.float64), (devices,))
    wanted = gains[sender, receiver] > 0
    kept = np.flatnonzero(wanted if considered is None else wanted & considered)
    slot = slots(sender[kept], receiver[kept], devices)
    while True:
        power, heard = least_powers(radio, bits, sender[kept], receiver[kept], gains, slot, one_copy)
        whole = per_sender(power, sender[kept], devices, one_copy)
        if not (whole > radio.p_max).any():
            break
        own = np.flatnonzero(sender[kept] == whole.argmax())
        kept = np.delete(kept, own[power[own].argmax()])
    served = np.zeros(len(sender), dtype=np.bool_)
    served[kept] = True
    spent: Floats = np.zeros(len(sender))
    rates: Floats = np.zeros(len(sender))
    spent[kept] = whole[sender[kept]] if one_copy else power
    shares = np.ones_like(slot) if one_copy else np.bincount(sender[kept], minlength=devices)
    own_gain = gains[sender[kept], receiver[kept]]
    rates[kept] = rate(radio, spent[kept], own_gain, shares[sender[kept]], heard)
    return settled(bits, sender, served, spent, rates, slot, one_copy)
