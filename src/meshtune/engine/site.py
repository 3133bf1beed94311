"""Where a run takes place: places and gains, known before anything is loaded, and what the air allows there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshtune.engine.config import RunConfig
from meshtune.topology.bounds import Air
from meshtune.wireless.air import link_gains
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio, total_power
from meshtune.wireless.mobility import Mobility, mobility
from meshtune.wireless.places import distances


@dataclass(frozen=True)
class Site:
    """Where a run takes place: what is known before anybody announces anything."""

    config: RunConfig
    radio: RadioConfig
    channel: Channel
    mobility: Mobility


def open_site(config: RunConfig) -> Site | None:
    """Return the site of a run; None where its links are free.

    Raises:
        UserError: devices cannot be placed, or the channel has not what the run needs.
    """
    if config.radio is None:
        return None
    channel = open_channel(config.radio, config.seed)
    channel.check_rounds(config.train.rounds)
    return Site(config, config.radio, channel, mobility(config.places, len(config.device_tasks), config.seed))


def air_between(radio: RadioConfig, channel: Channel, positions: Floats, bits: float, most: int | None = None) -> Air:
    """Return what the air allows devices that send ``bits`` to each neighbour, on mean gains.

    A broadcast costs what its weakest receiver needs. Clusters add up powers, so they are given each receiver's own:
    their sum is never too little.

    Args:
        radio: every device's.
        channel: the gains.
        positions: (n, 2) metres.
        bits: of one payload.
        most: devices of a cluster at most.
    """
    every = Radio.of(radio)
    a, b = np.triu_indices(len(positions), 1)
    reach = radio.range or float(distances(positions, a, b).max(initial=0.0)) + 1.0

    def inverse_gain(sender: Ints, receiver: Ints) -> Floats:
        with np.errstate(divide="ignore"):
            found: Floats = 1 / link_gains(channel, positions, sender, receiver, None)
        return found

    def factor(u: int) -> float:
        return float(total_power(every, bits, 1 if radio.cast == "broadcast" else u, 1.0))

    return Air(np.arange(len(positions)), positions, reach, inverse_gain, every.p_max, factor, every.gamma, most)
