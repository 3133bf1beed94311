"""One shared band: devices that send at the same time interfere, and a sending device cannot receive.

This goes beyond the paper. (1) Half-duplex: devices take turns in slots so that nobody sends while a neighbour sends to
it (greedy colouring of the graph of links); each slot lasts Gamma. (2) Within a slot all its devices send
simultaneously, each spreading its power evenly over W. A receiver gets the others' powers over their gains as noise in
its link's share of the band. (3) Powers are the least that bring every link's delay to Gamma given each other's: the
least fixed point of Lemma 1's power with interference, from 0 upwards (Foschini and Miljanic 1993; Yates 1995).
(4) If p_max is exceeded, the device that exceeds it most gives up the link that needs the most power, and powers are
solved again. The best set of links would be NP-hard to find; this one is feasible, not always the largest.

It needs the gain between any two devices, so memory grows with the square of their number: for up to two thousand.
"""

from __future__ import annotations

import numpy as np

from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.link import Radio, rate, required_power
from meshtune.wireless.orthogonal_bands import LinkBudget, per_sender, settled

_STEPS = 1000  # fixed-point iterations; powers that have not converged by then are at the edge of feasibility
_SETTLED = 1e-12  # relative change that counts as converged


def slots(sender: Ints, receiver: Ints, devices: int) -> Ints:
    """Return the slot in which each device sends, (devices,): never that of a device it sends to or receives from.

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


def cross_gains(sender: Ints, receiver: Ints, gains: Floats) -> tuple[Ints, Floats]:
    """Return the devices that send at all, (S,) ids ascending, and their gains to each link's receiver, (L, S).

    A link's own sender counts 0: what it sends to others is in other parts of the band, or the same broadcast.

    Args:
        sender: (L,) of the links of one slot.
        receiver: (L,)
        gains: (n, n) linear, symmetric.
    """
    speakers, by = np.unique(sender, return_inverse=True)
    cross = gains[np.ix_(receiver, speakers)]
    cross[np.arange(len(sender)), by] = 0.0
    return speakers, cross


def least_powers(
    radio: Radio, bits: Floats, gain: Floats, by: Ints, cross: Floats, one_copy: bool = False
) -> tuple[Floats, Floats]:
    """Return the least powers that bring all links of a slot to Gamma simultaneously, and the resulting interference.

    Args:
        radio: the radio of every device.
        bits: (L,) of the payload on each link.
        gain: (L,) linear.
        by: (L,) index of each link's sender among the S senders of the slot.
        cross: (L, S) of :func:`cross_gains`.
        one_copy: whether this is a broadcast: one transmission for all neighbours in the whole band.

    Returns:
        (L,) W of each link and (L,) W of interference. Iteration stops once a device needs more than p_max: the result
        is then a lower bound that is already too much. Infinite if the iteration does not converge.
    """
    speakers = cross.shape[1]
    shares = np.ones_like(by) if one_copy else np.bincount(by, minlength=speakers)[by]
    power = heard = np.zeros(len(by))
    for _ in range(_STEPS):
        heard = cross @ per_sender(power, by, speakers, one_copy) / shares
        fresh = required_power(radio, bits, gain, shares, heard)
        if (per_sender(fresh, by, speakers, one_copy) > radio.p_max).any():
            return fresh, heard
        if (np.abs(fresh - power) <= _SETTLED * fresh).all():
            return fresh, heard
        power = fresh
    return np.full(len(by), np.inf), heard


def shared(
    radio: Radio,
    bits: Numbers,
    sender: Ints,
    receiver: Ints,
    gains: Floats,
    considered: Bools | None = None,
    one_copy: bool = False,
) -> LinkBudget:
    """Return the budget of links over one band that all devices share; see above.

    Args:
        radio: the radio of every device.
        bits: of the payload of each device, (n,) or one number.
        sender: (L,) the sending device of each link.
        receiver: (L,) the receiving one.
        gains: (n, n) of the round, linear, symmetric; the diagonal is not read.
        considered: (L,) which links may be served; None for all.
        one_copy: whether this is a broadcast: one transmission for all neighbours in the whole band.
    """
    devices = len(gains)
    bits = np.broadcast_to(np.asarray(bits, dtype=np.float64), (devices,))
    gain = gains[sender, receiver]
    able = required_power(radio, bits[sender], gain) <= radio.p_max  # without interference, which never helps
    able = able if considered is None else able & considered
    slot = slots(sender[able], receiver[able], devices)
    served = np.zeros(len(sender), dtype=np.bool_)
    power: Floats = np.zeros(len(sender))
    rates: Floats = np.zeros(len(sender))
    for turn in np.unique(slot):
        links, spent, reached = _one_slot(
            radio, bits, sender, receiver, gains, np.flatnonzero(able & (slot[sender] == turn)), one_copy
        )
        served[links], power[links], rates[links] = True, spent, reached
    return settled(bits, sender, served, power, rates, slot, one_copy)


def _one_slot(
    radio: Radio, bits: Floats, sender: Ints, receiver: Ints, gains: Floats, links: Ints, one_copy: bool
) -> tuple[Ints, Floats, Floats]:
    """Return which of ``links`` fit together in one slot, with the power and the rate of each."""
    speakers, cross = cross_gains(sender[links], receiver[links], gains)
    while True:
        by = np.searchsorted(speakers, sender[links])
        gain = gains[sender[links], receiver[links]]
        power, heard = least_powers(radio, bits[sender[links]], gain, by, cross, one_copy)
        whole = per_sender(power, by, len(speakers), one_copy)
        if not (whole > radio.p_max).any():
            break
        own = np.flatnonzero(by == whole.argmax())
        worst = own[power[own].argmax()]
        links, cross = np.delete(links, worst), np.delete(cross, worst, axis=0)
    if one_copy:
        power = whole[by]
    shares = np.ones_like(by) if one_copy else np.bincount(by, minlength=len(speakers))[by]
    return links, power, rate(radio, power, gain, shares, heard)
