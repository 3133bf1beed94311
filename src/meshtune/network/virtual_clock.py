"""The virtual clock: the duration and cost of a federation's rounds if every device had its own radio.

Each method of a run has its own clock, because each is a federation of its own. A round ends for all devices at
T_round; nobody waits for late devices. Computation is planned: the rows that each round trains are known from the
start, and so is the slowest device of any round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import UserError, enough
from meshtune.methods.base import Method
from meshtune.wireless.arrays import Floats
from meshtune.wireless.compute import compute_energy, compute_time, frequencies, round_cycles

SLACK = 0.5
"""Fraction of Gamma that a round adds for retransmitted packets (method section 7)."""


@dataclass
class RoundCost:
    """One round of one method, over all devices.

    Attributes:
        seconds: its duration.
        sending: joules of transmission.
        computing: joules of training.
        airtime: seconds on the air, summed over devices; links served simultaneously by one device count once.
        outages: wanted links that could not carry their payload at any allowed power.
        lost: payloads sent that did not arrive, or not before the round ended.
        late: devices that computed too long to send anything.
        away: absent devices.
        inventory: joules of control messages about who holds what.
        inventory_seconds: their duration; it fits into the slack of the windows, or counts in ``seconds``.
    """

    seconds: float = 0.0
    sending: float = 0.0
    computing: float = 0.0
    airtime: float = 0.0
    outages: int = 0
    lost: int = 0
    late: int = 0
    away: int = 0
    inventory: float = 0.0
    inventory_seconds: float = 0.0


def ends(slowest: float, slots: int, gamma: float) -> float:
    """Return the default T_round in seconds: the slowest compute, Gamma for every slot, and the slack."""
    return slowest + (slots + SLACK) * gamma


RoundCosts = list[RoundCost]
"""The rounds so far; round 0 is the handshake."""


def elapsed(clock: RoundCosts) -> float:
    """Return the seconds so far."""
    return sum(tick.seconds for tick in clock)


class VirtualClock:
    """The clock that nodes see in a radio simulation (:class:`meshtune.node.clock.Clock`).

    It stands still during a window: everything sent in a window arrives at its end.

    Args:
        clock: the rounds before this one.
        tick: this round so far.
    """

    def __init__(self, clock: RoundCosts, tick: RoundCost) -> None:
        self._began, self._tick = elapsed(clock), tick

    def now(self) -> float:
        """Return the seconds since the run began."""
        return self._began + self._tick.seconds


def joules(clock: RoundCosts) -> float:
    """Return the joules so far, for sending and computing."""
    return sum(tick.sending + tick.computing + tick.inventory for tick in clock)


def summary(clock: RoundCosts) -> dict[str, Any]:
    """Return the totals and, as ``per_round``, every quantity as a list; round 0 is the handshake."""
    return {
        "seconds": elapsed(clock),
        "joules": joules(clock),
        "airtime": sum(tick.airtime for tick in clock),
        "outages": sum(tick.outages for tick in clock),
        "per_round": {field.name: [getattr(tick, field.name) for tick in clock] for field in fields(RoundCost)},
    }


def pack(clocks: Mapping[str, RoundCosts]) -> dict[str, Any]:
    """Return plain values for a checkpoint."""
    return {method: [asdict(tick) for tick in clock] for method, clock in clocks.items()}


def unpack(data: Mapping[str, Any]) -> dict[str, RoundCosts]:
    """The inverse of :func:`pack`."""
    return {method: [RoundCost(**tick) for tick in clock] for method, clock in data.items()}


class Pace:
    """How long devices compute in each round, and when a round ends.

    Args:
        config: the run's settings.
        parameters: number of parameters of the base model.
        devices: their data.

    Raises:
        UserError: ``round_seconds`` ends before any device could have computed and sent.
    """

    def __init__(self, config: RunConfig, parameters: int, devices: Sequence[DeviceData]) -> None:
        assert config.radio is not None
        self._config, self._parameters, self._devices = config, parameters, devices
        self._gamma = config.radio.planned_gamma
        self.frequency = frequencies(config.compute, len(devices), config.seed)
        if config.round_seconds is not None and config.compute.epsilon is None:
            fastest = float(compute_time(self._cycles(self.tokens, 0), self.frequency).max(axis=0).min())
            if config.round_seconds < fastest + self._gamma:
                raise UserError(
                    f"round_seconds={config.round_seconds:g} ends before the fastest device has computed "
                    f"({fastest:.3g} s) and sent ({self._gamma:.3g} s): raise it to at least "
                    f"{enough(fastest + self._gamma)}, or leave it out"
                )

    @cached_property
    def tokens(self) -> Floats:
        """Tokens that every device trains in every round, (rounds, devices)."""
        train = self._config.train
        return np.array(
            [
                [
                    sum(
                        len(row.tokens)
                        for step in range(number * train.steps, (number + 1) * train.steps)
                        for row in data.batch(step, train.batch)
                    )
                    for data in self._devices
                ]
                for number in range(train.rounds)
            ],
            dtype=np.float64,
        )

    def cycles(self, method: Method, values: int) -> Floats:
        """Return the cycles of every device in every round, (rounds, devices).

        If a method trains one expert on all rows together, the first device does it.

        Args:
            method: the method that trains.
            values: the number of scalars trained.
        """
        tokens, samples = self.tokens, np.ones_like(self.tokens)
        if len(method.rows(0, tokens.shape[1])) > 1:
            first = np.zeros_like(tokens)
            first[:, 0] = 1
            tokens, samples = first * tokens.sum(axis=1, keepdims=True), first * tokens.shape[1]
        return self._cycles(tokens, values, samples)

    def seconds(self, method: Method, values: int) -> Floats:
        """Return how long every device computes in every round, (rounds, devices), without faults."""
        return compute_time(self.cycles(method, values), self.frequency)

    def energy(self, method: Method, values: int) -> Floats:
        """Return the joules that every device computes with in every round, (rounds, devices)."""
        return compute_energy(self.cycles(method, values), self.frequency, self._config.compute.kappa)

    def ends(self, method: Method, values: int, slots: int) -> float:
        """Return T_round: ``round_seconds``, or the slowest planned compute, Gamma for every slot, and the slack."""
        assert self._config.radio is not None
        slowest = float(self.seconds(method, values).max())
        return self._config.round_seconds or ends(slowest, slots, self._config.radio.gamma)

    def _cycles(self, tokens: Floats, values: int, share: Floats | float = 1.0) -> Floats:
        train = self._config.train
        samples = np.multiply(share, train.steps * train.batch)
        return round_cycles(self._config.compute, self._parameters, tokens, values, samples, train.batch)
