"""The interface of all channels: a mean gain for every pair of devices, and its fading in every round.

Links are reciprocal: both ends of a pair see the same gain, in the mean and in every round. All numbers are functions
of (seed, round, pair), so they do not depend on which links are evaluated, nor in which order.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.draws import normals, uniforms
from meshtune.wireless.registry import MODULES, check_channel


class Channel(ABC):
    """Gains between devices.

    Args:
        config: the radio's settings.
        seed: of shadowing, line of sight and fading.

    Attributes:
        config: the radio's settings.
        seed: of shadowing, line of sight and fading.
    """

    def __init__(self, config: RadioConfig, seed: int) -> None:
        self.config = config
        self.seed = seed

    @abstractmethod
    def mean_gain(self, distance: Floats, a: Ints, b: Ints) -> Floats:
        """Return the power gain of every link, averaged over fading (linear, not dB); 0 if there is no link.

        Args:
            distance: (L,) in metres.
            a: (L,) id of the device at one end, below 2^32.
            b: (L,) id of the device at the other end.

        Returns:
            (L,)

        Raises:
            UserError: a distance is not above 0.
        """

    def fading(self, round_: int, a: Ints, b: Ints) -> Floats:
        """Return the fading rho of every link in a round, (L,): its gain is rho times the mean gain.

        With Rayleigh fading of the amplitude rho ~ Exp(1) (method section 7); without fading rho = 1.

        Raises:
            UserError: the channel has no data for this round.
        """
        if self.config.fading == "none":
            return np.ones(len(a))
        low, high = ordered(a, b)
        u, _ = uniforms(self.seed, "fading", round_, first=low, second=high)
        found: Floats = -np.log(u)
        return found

    def gain(self, round_: int, distance: Floats, a: Ints, b: Ints) -> Floats:
        """Return the power gain of every link in a round, (L,): fading times mean gain."""
        return self.fading(round_, a, b) * self.mean_gain(distance, a, b)

    def check_rounds(self, rounds: int) -> None:
        """Check before training that the channel covers all rounds from 1 to ``rounds``.

        Raises:
            UserError: it does not.
        """
        return  # a model covers every round; a recording may not


def open_channel(config: RadioConfig, seed: int) -> Channel:
    """Return the channel that ``config`` names; its module is in :data:`meshtune.wireless.registry.MODULES`.

    Raises:
        UserError: there is no such channel, or its file is wrong.
    """
    name = check_channel(config.channel)
    kind: type[Channel] = importlib.import_module(f"meshtune.wireless.channels.{MODULES[name]}").CHANNEL
    return kind(config, seed)


def ordered(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Return the lower and the higher id of every pair, (L,) each; this makes draws reciprocal."""
    return np.minimum(a, b), np.maximum(a, b)


def shadowing(seed: int, sigma_db: float, a: Ints, b: Ints) -> Floats:
    """Return the log-normal shadowing of every pair in dB, (L,): one draw for the whole run."""
    if sigma_db == 0:
        return np.zeros(len(a))
    low, high = ordered(a, b)
    return sigma_db * normals(seed, "shadowing", first=low, second=high)


def check_distance(distance: Floats, a: Ints, b: Ints) -> None:
    """Check that all distances, (L,) in metres, are above 0.

    Raises:
        UserError: one is not; the message names the devices.
    """
    if not (distance > 0).all():
        link = int(np.flatnonzero(~(distance > 0))[0])
        raise UserError(
            f"devices {a[link]} and {b[link]} are {distance[link]:g} m apart: a link needs a distance above 0 m, so "
            "move one of them"
        )
