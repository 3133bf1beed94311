"""Where a run takes place: places and gains, known before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from meshtune.config.run_config import RunConfig
from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.mobility import Mobility, mobility


@dataclass(frozen=True)
class Site:
    """Where a run takes place: what is known before anybody announces anything."""

    config: RunConfig
    radio: RadioConfig
    channel: Channel
    mobility: Mobility


def open_site(config: RunConfig) -> Site | None:
    """Return the site of a run; None where its links are free. Errors are those of :func:`site_of`."""
    return None if config.radio is None else site_of(config, config.radio)


def site_of(config: RunConfig, radio: RadioConfig) -> Site:
    """Return the site of a run with this radio.

    Raises:
        UserError: devices cannot be placed, or the channel has not what the run needs.
    """
    channel = open_channel(radio, config.seed)
    channel.check_rounds(config.train.rounds)
    return Site(config, radio, channel, mobility(config.places, len(config.device_tasks), config.seed))
