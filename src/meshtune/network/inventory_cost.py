"""What it costs over the air to say who holds what: messages of a hundred bytes, sent at the rate that a link carries.

They need no window of their own: they go out in the slack that every window leaves (method section 7), and only what is
longer than the slack prolongs a round. Gains are means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.network.site import Site
from meshtune.node.envelope import Envelope
from meshtune.wireless.arrays import Floats
from meshtune.wireless.link import Radio, rate
from meshtune.wireless.link_budget import link_gains


def inventory_cost(site: Site, positions: Floats, envelopes: Sequence[Envelope]) -> tuple[float, float]:
    """Return the seconds and joules of ``envelopes``, all sent at once, every sender at an even share of its power.

    Args:
        site: channel and radio.
        positions: (n, 2) metres.
        envelopes: what is sent.
    """
    if not envelopes:
        return 0.0, 0.0
    radio = Radio.of(site.radio)
    sender = np.array([one.sender for one in envelopes], dtype=np.int64)
    receiver = np.array([one.receiver for one in envelopes], dtype=np.int64)
    bits = np.array([8.0 * len(one.data) for one in envelopes])
    u = np.bincount(sender)[sender].astype(np.float64)
    gain = link_gains(site.channel, positions, sender, receiver, None)
    seconds = bits / rate(radio, radio.p_max / u, gain, u)
    return float(seconds.max()), float((radio.p_max / u * seconds).sum())
