"""Positions of devices and gains between them at one moment, and what the radio allows there for a payload.

Runs and plans form clusters from it. Gains are means: fading is drawn per round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.network.site import Site
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.config import ClusterConfig
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio, total_power
from meshtune.wireless.link_budget import link_gains

MOST_PAIRS = 500_000
"""Maximum pairs of devices in range: about 1,000 devices all in range, or 100,000 with ten in range of each."""
NEAR = 10
"""When there are too many pairs, a range is proposed that leaves each device this many others in range."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Positions of devices and gains between them.

    Attributes:
        config: the radio's settings; ``radio``: what the formulas need of them.
        channel: gains.
        positions: (n, 2) in metres.
        reach: metres beyond which there is no link.
    """

    config: RadioConfig
    radio: Radio
    channel: Channel
    positions: Floats
    reach: float


def carrier(methods: Sequence[Method]) -> Method:
    """Return the method whose update clusters are formed for: the first sparse one that exchanges, else the first one.

    If no method exchanges, all count.
    """
    sending = [method for method in methods if method.sharing.sends] or methods
    return next((method for method in sending if method.kind.projected), sending[0])


def geometry_of(site: Site, time: float = 0.0) -> Geometry:
    """Return the geometry at ``time`` seconds; if no range is set, all devices are in range of each other."""
    radio, channel, positions = site.radio, site.channel, site.mobility.positions(time)
    widest = math.hypot(*np.ptp(positions, axis=0).tolist()) * (1 + 1e-9)
    return Geometry(radio, Radio.of(radio), channel, positions, radio.range or widest or 1.0)


def link_bounds(where: Geometry, bits: float, most: int | None) -> LinkBounds:
    """Return the radio's limits for a payload of ``bits``, in clusters of at most ``most`` devices.

    A broadcast costs what its weakest receiver needs. Clusters add up powers per receiver, so the sum is an upper
    bound.

    Raises:
        UserError: too many pairs of devices are in range.
    """
    radio, devices = where.radio, len(where.positions)

    def inverse_gain(a: Ints, b: Ints) -> Floats:
        with np.errstate(divide="ignore"):  # zero gain: no link
            found: Floats = 1 / link_gains(where.channel, where.positions, a, b, None)
        return found

    def factor(u: int) -> float:
        return float(total_power(radio, bits, 1 if where.config.cast == "broadcast" else u, 1.0))

    air = LinkBounds(
        np.arange(devices), where.positions, where.reach, inverse_gain, radio.p_max, factor, radio.gamma, most
    )
    check_pairs(where, air.tree)
    return air


def check_pairs(where: Geometry, tree: Any = None) -> None:
    """Check that the number of pairs of devices in range is manageable.

    Args:
        where: the geometry.
        tree: scipy's KD-tree of its positions; None to build one.

    Raises:
        UserError: there are more than :data:`MOST_PAIRS`; the message proposes a range.
    """
    devices = len(where.positions)
    if tree is None:
        from scipy.spatial import cKDTree

        tree = cKDTree(where.positions)
    pairs = (tree.count_neighbors(tree, where.reach) - devices) // 2
    if pairs > MOST_PAIRS:
        area = float(np.ptp(where.positions, axis=0).prod())
        lower = min(math.sqrt(NEAR * area / devices / math.pi), where.reach * math.sqrt(NEAR * devices / 2 / pairs))
        raise UserError(
            f"{devices} devices have {pairs:,} pairs in range, planned for at most {MOST_PAIRS:,}: set radio.range, "
            f"for example to {lower:.2g} m, which leaves each about {NEAR}"
        )


def clustering(settings: ClusterConfig, masked: bool) -> ClusterConfig:
    """Return the clustering settings; without masks only power and range decide (S_max = 1)."""
    return settings if masked else settings.model_copy(update={"s_max": 1.0})


def median_gain(where: Geometry, air: LinkBounds) -> float | None:
    """Return the median mean gain of all pairs in range (method section 7); None if there are none."""
    _, _, gain = _heard(where, air)
    return float(np.median(gain)) if gain.size else None


def median_gains(where: Geometry) -> Floats:
    """Return the median mean gain between each device and those in its range, (n,); NaN if there are none.

    Raises:
        UserError: too many pairs of devices are in range.
    """
    low, high, gain = _heard(where, link_bounds(where, 0.0, None))
    found = np.full(len(where.positions), np.nan)
    end, both = np.concatenate([low, high]), np.concatenate([gain, gain])
    order = np.argsort(end, kind="stable")
    devices, starts = np.unique(end[order], return_index=True)
    for device, gains in zip(devices, np.split(both[order], starts[1:]), strict=False):
        found[device] = np.median(gains)
    return found


def _heard(where: Geometry, air: LinkBounds) -> tuple[Ints, Ints, Floats]:
    """Return the ends and mean gains of all pairs in range with a gain above 0."""
    low, high = air.pairs
    gain = link_gains(where.channel, where.positions, low, high, None)
    heard = gain > 0
    return low[heard], high[heard], gain[heard]
