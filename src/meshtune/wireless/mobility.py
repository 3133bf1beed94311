"""How devices move: not at all, or by random waypoints. Positions are a pure function of seed and time.

So a resumed run, another engine and a plan see the same positions, whatever times they ask for.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.config import PlaceConfig
from meshtune.wireless.draws import uniforms
from meshtune.wireless.places import disc_point, place

MOST_LEGS = 20_000
"""Maximum number of times that a device may cross its disc in a run: each leg is computed."""


class Mobility(Protocol):
    """The positions of all devices over time."""

    def positions(self, time: float) -> Floats:
        """Return the positions at ``time`` seconds (0 or later), (devices, 2) in metres."""


def mobility(config: PlaceConfig, devices: int, seed: int) -> Mobility:
    """Return the mobility model of the devices.

    Raises:
        UserError: they cannot be placed, see :func:`meshtune.wireless.places.place`; or a device that should move by
            waypoints starts outside the disc.
    """
    start = place(config, devices, seed)
    if config.mobility == "static":
        return Static(start)
    away = np.hypot(start[:, 0], start[:, 1])
    if devices and away.max() > config.radius:
        device = int(away.argmax())
        raise UserError(
            f"device {device} stands {away[device]:g} m from the origin, outside the disc of {config.radius:g} m in "
            "which devices move: raise places.radius or set places.mobility=static"
        )
    return Waypoint(start, config.radius, config.speed, config.pause, seed)


class Static:
    """Devices that do not move."""

    def __init__(self, start: Floats) -> None:
        self._start = start

    def positions(self, time: float) -> Floats:
        return self._start.copy()


class Waypoint:
    """Random waypoints (Johnson and Maltz 1996) in a disc.

    Every device moves straight to a point drawn uniformly by area, at a speed drawn uniformly, pauses, and continues.
    The disc is convex, so the device never leaves it. Over time devices concentrate nearer to the centre than they were
    placed, which is a known property of the model.

    Args:
        start: (devices, 2) in metres.
        radius: of the disc, metres.
        speed: lowest and highest speed of a leg, m/s; above 0.
        pause: seconds of pause after each leg.
        seed: of the legs.
    """

    def __init__(self, start: Floats, radius: float, speed: tuple[float, float], pause: float, seed: int) -> None:
        self._start = start
        self._radius = radius
        self._speed = speed
        self._pause = pause
        self._seed = seed

    def positions(self, time: float) -> Floats:
        _, high = self._speed
        if time > MOST_LEGS * (2 * self._radius / high + self._pause):
            raise UserError(
                f"devices would cross their disc more than {MOST_LEGS:,} times in {time:.3g} s: lower places.speed, "
                "raise places.radius, or set places.mobility=static"
            )
        found = self._start.copy()
        moving = np.arange(len(found))
        here, clock = self._start, np.zeros(len(found))
        leg = 0
        while moving.size:
            there, seconds = self._leg(moving, leg, here)
            share = np.clip((time - clock) / seconds, 0.0, 1.0)[:, None]
            found[moving] = here + share * (there - here)
            clock = clock + seconds + self._pause
            on = clock < time  # devices that have finished this leg and its pause
            moving, here, clock = moving[on], there[on], clock[on]
            leg += 1
        return found

    def _leg(self, devices: Ints, leg: int, here: Floats) -> tuple[Floats, Floats]:
        """Return where the leg of each of ``devices`` ends, (n, 2), and the seconds it takes, (n,)."""
        share, turn = uniforms(self._seed, "waypoint", first=devices, second=leg)
        quick, _ = uniforms(self._seed, "waypoint speed", first=devices, second=leg)
        there = disc_point(self._radius, share, turn)
        low, high = self._speed
        length = np.hypot(*(there - here).T)
        return there, np.maximum(length / (low + (high - low) * quick), np.finfo(float).tiny)
