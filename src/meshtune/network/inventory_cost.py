"""The radio cost of control messages about who holds what: a few hundred bytes, each in a small part of a window.

They need no window of their own. They use the slack that every window leaves (method section 7), which holds sixteen of
them; only the excess prolongs a round. Power is the minimum that carries them in their part. Gains are means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from meshtune.network.site import Site
from meshtune.node.envelope import Envelope
from meshtune.wireless.arrays import Floats
from meshtune.wireless.link import Radio, total_power
from meshtune.wireless.link_budget import link_gains

PART = 1 / 32
"""Fraction of Gamma that a message takes, if power allows."""


def inventory_cost(site: Site, positions: Floats, envelopes: Sequence[Envelope]) -> tuple[float, float]:
    """Return the seconds and joules of ``envelopes``, all sent simultaneously.

    Args:
        site: channel and radio.
        positions: (n, 2) in metres.
        envelopes: the messages.
    """
    radio = Radio.of(site.radio)
    radio = replace(radio, gamma=PART * radio.gamma)
    seconds = joules = 0.0
    by_sender: dict[int, list[Envelope]] = {}
    for one in envelopes:
        by_sender.setdefault(one.sender, []).append(one)
    for sender, sent in by_sender.items():
        near = np.array([one.receiver for one in sent], dtype=np.int64)
        gain = link_gains(site.channel, positions, np.full_like(near, sender), near, None)
        bits, inverse = 8.0 * max(len(one.data) for one in sent), float((1 / gain).sum())
        count = least_windows(radio, bits, len(near), inverse)
        seconds = max(seconds, count * radio.gamma)
        joules += count * radio.gamma * float(total_power(radio, bits / count, len(near), inverse))
    return seconds, joules


def least_windows(radio: Radio, bits: float, u: int, inverse_gains: float) -> int:
    """Return the minimum number of windows in which ``bits`` fit into p_max, to ``u`` neighbours simultaneously."""

    def fits(count: int) -> bool:
        return bool(total_power(radio, bits / count, u, inverse_gains) <= radio.p_max)

    high = 1
    while not fits(high):
        high *= 2
    low = high // 2  # does not fit, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
