"""The handshake's radio cost: time and energy of announcements, which are larger than a link carries in one window.

Announcements travel through the graph hop by hop and reach each device once (:mod:`meshtune.node.introductions`). In
each hop a device has one payload for all its neighbours, as long as the longest of theirs. It sends it in as many
windows of Gamma as are needed for a part to fit into its power on mean gains. The hop ends with the slowest device.
Announcements are repeated until they arrive; one copy per receiver is charged. Fading and lost packets are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshtune.network.inventory_cost import inventory_cost, least_windows
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import RoundCost
from meshtune.node.envelope import Envelope
from meshtune.wireless.link import Radio, total_power
from meshtune.wireless.link_budget import link_gains


def handshake_cost(
    network: RunNetwork, hops: Sequence[Mapping[tuple[int, int], int]], control: Sequence[Sequence[Envelope]] = ()
) -> RoundCost:
    """Return the cost of a handshake.

    Args:
        network: who hears whom.
        hops: bytes of announcements per link (sender, receiver), hop by hop.
        control: the control messages about who knows whom, grouped by the time at which they were sent.
    """
    site, tick = network.site, RoundCost()
    radio, positions = Radio.of(site.radio), network.formed.where.positions
    for hop in hops:
        windows = []
        for sender in sorted({sender for sender, _ in hop}):
            near = np.array([receiver for end, receiver in hop if end == sender], dtype=np.int64)
            gain = link_gains(site.channel, positions, np.full_like(near, sender), near, None)
            bits = 8.0 * max(count for (end, _), count in hop.items() if end == sender)
            inverse = float((1 / gain).sum())
            count = least_windows(radio, bits, len(near), inverse)
            windows.append(count)
            tick.airtime += count * radio.gamma
            tick.sending += count * radio.gamma * float(total_power(radio, bits / count, len(near), inverse))
        together = site.radio.spectrum == "orthogonal"  # otherwise they take turns
        tick.seconds += site.radio.gamma * (max(windows) if together else sum(windows))
    for said in control:
        seconds, joules = inventory_cost(site, positions, said)
        tick.inventory_seconds += seconds
        tick.inventory += joules
    return tick
