"""The link budget of one round, for the configured spectrum and cast."""

from __future__ import annotations

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.channel import Channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.interference import shared
from meshtune.wireless.link import Radio
from meshtune.wireless.orthogonal_bands import LinkBudget, broadcast, unicast
from meshtune.wireless.places import distances

MOST_SHARED = 2000  # devices: all their gains are held, and time grows faster than their number


def over_the_air(
    config: RadioConfig,
    channel: Channel,
    positions: Floats,
    sender: Ints,
    receiver: Ints,
    bits: Numbers,
    round_: int | None,
) -> LinkBudget:
    """Return what every link carries in a round.

    Args:
        config: the radio's settings.
        channel: the gains.
        positions: (n, 2) in metres.
        sender: (L,) the sending device of each link.
        receiver: (L,) the receiving one; links beyond ``radio.range`` are not served.
        bits: of the payload of each device, (n,) or one number.
        round_: the round whose fading is drawn; None to plan on the mean gain.

    Raises:
        UserError: two linked devices have the same position, the channel does not cover the round, or too many devices
            share one band.
    """
    radio, devices = Radio.of(config), len(positions)
    one_copy = config.cast == "broadcast"
    if config.spectrum == "orthogonal":
        gain = link_gains(channel, positions, sender, receiver, round_)
        gain = np.where(in_range(config, positions, sender, receiver), gain, 0.0)
        return (broadcast if one_copy else unicast)(radio, bits, sender, gain, devices)
    if devices > MOST_SHARED:
        raise UserError(
            f"{devices} devices share one band, and gains between all pairs are computed for at most {MOST_SHARED}: "
            "set radio.spectrum=orthogonal"
        )
    a, b = np.triu_indices(devices, 1)
    gains = np.zeros((devices, devices))
    gains[a, b] = gains[b, a] = link_gains(channel, positions, a, b, round_)
    considered = in_range(config, positions, sender, receiver)
    return shared(radio, bits, sender, receiver, gains, considered, one_copy)


def link_gains(channel: Channel, positions: Floats, a: Ints, b: Ints, round_: int | None) -> Floats:
    """Return the gain of every link in a round, or its mean if ``round_`` is None, (L,)."""
    apart = distances(positions, a, b)
    return channel.mean_gain(apart, a, b) if round_ is None else channel.gain(round_, apart, a, b)


def in_range(config: RadioConfig, positions: Floats, a: Ints, b: Ints) -> Bools:
    """Return which links are no longer than ``radio.range``, (L,)."""
    if config.range is None:
        return np.ones(len(a), dtype=np.bool_)
    found: Bools = distances(positions, a, b) <= config.range
    return found
