"""What the handshake costs over the air: time and energy of announcements, which are larger than what a link carries.

They go through the graph hop by hop, to each device once (:mod:`meshtune.node.introductions`). In each hop a device has
one payload for its neighbours, the longest of theirs, and sends it in as many windows of Gamma as it takes for a part
to fit into its power on mean gains; the hop ends with the slowest device. Announcements are sent until they arrive, one
copy for each who receives them; fading and lost packets are left out.
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
    """Return what a handshake took.

    Args:
        network: who hears whom.
        hops: bytes of announcements by link (sender, receiver), hop by hop.
        control: what was said of who knows whom, those messages together that were sent at the same time.
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
        together = site.radio.spectrum == "orthogonal"  # else they take turns
        tick.seconds += site.radio.gamma * (max(windows) if together else sum(windows))
    for said in control:
        seconds, joules = inventory_cost(site, positions, said)
        tick.inventory_seconds += seconds
        tick.inventory += joules
    return tick
