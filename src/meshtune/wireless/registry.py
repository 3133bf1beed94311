"""The names of the channel models, without importing their dependencies: for help texts and validation."""

from __future__ import annotations

from meshtune.errors import check_name

CHANNELS: dict[str, str] = {
    "paper": "the paper's: gain d^-2, d in metres",
    "log_distance": "log-distance path loss with log-normal shadowing",
    "urban": "3GPP TR 36.843 A.2.1.2, device to device, outdoors in a city",
    "trace": "recorded gains, from a CSV file",
}
"""Name to one-line description."""
MODULES = {name: name for name in CHANNELS} | {"paper": "inverse_square"}
"""Name to the module of :mod:`meshtune.wireless.channels` that holds the model as ``CHANNEL``."""


def check_channel(name: str) -> str:
    """Return ``name``.

    Raises:
        UserError: there is no such channel; the message names the nearest.
    """
    return check_name("channel", name, CHANNELS)
