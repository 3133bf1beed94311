"""The site of a run: positions and gains, known before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from meshtune.config.run_config import RunConfig
from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.mobility import Mobility, mobility


@dataclass(frozen=True)
class Site:
    """The site of a run: what is known before any announcement."""

    config: RunConfig
    radio: RadioConfig
    channel: Channel
    mobility: Mobility


def open_site(config: RunConfig) -> Site | None:
    """Return the site of a run; None if its links are free. Errors are those of :func:`site_of`."""
    return None if config.radio is None else site_of(config, config.radio)


def site_of(config: RunConfig, radio: RadioConfig) -> Site:
    """Return the site of a run with this radio.

    Raises:
        UserError: devices cannot be placed, or the channel lacks what the run needs.
    """
    channel = open_channel(radio, config.seed)
    channel.check_rounds(config.train.rounds)
    return Site(config, radio, channel, mobility(config.places, len(config.device_tasks), config.seed))
