"""Settings of the radio, of positions and of the cost of computing. No heavy imports.

dB and dBm exist only here; the properties give the watts that the formulas need.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from meshtune.errors import UserError
from meshtune.settings import Settings, Within
from meshtune.wireless.registry import check_channel

FARTHEST = 1e8
"""Maximum coordinate or length in metres."""

Metres = Annotated[float, Within(1e-3, FARTHEST, "m")]
Coordinate = Annotated[float, Within(-FARTHEST, FARTHEST, "m")]
Loss = Annotated[float, Within(0, 300, "dB")]
Shadowing = Annotated[float, Within(0, 50, "dB")]
Hertz = Annotated[float, Within(1, 1e15, "Hz")]
Seconds = Annotated[float, Within(1e-6, 1e9, "s")]
Speed = Annotated[float, Within(1e-6, 1e5, "m/s")]
Cycles = Annotated[float, Within(1e-6, 1e24, "cycles")]

QUICKEST = 1.0
"""Minimum seconds for a device to cross the disc it moves in, pause included."""


class LogDistanceConfig(Settings):
    """The log-distance channel.

    Attributes:
        reference_loss_db: path loss at the reference distance; 40 dB is free space at 1 m and 2.4 GHz.
        reference_distance: metres; nearer devices have the loss at this distance.
        exponent: path loss exponent; 2 is free space.
        shadowing_db: standard deviation of the log-normal shadowing, drawn once per pair.
    """

    reference_loss_db: Loss = 40.0
    reference_distance: Metres = 1.0
    exponent: Annotated[float, Within(0.1, 10)] = 3.0
    shadowing_db: Shadowing = 6.0


class UrbanConfig(Settings):
    """The urban device-to-device channel.

    Attributes:
        carrier: Hz, from 0.45 to below 6 GHz, where the model is defined.
        shadowing_db: standard deviation of the log-normal shadowing, drawn once per pair; 7 dB in the report.
    """

    carrier: Annotated[float, Within(0.45e9, 5.999e9, "Hz")] = 2e9
    shadowing_db: Shadowing = 7.0


class LossConfig(Settings):
    """Packet loss and retransmission.

    Attributes:
        probability: of losing one transmission of one packet.
        packet: bytes of a packet.
        retransmissions: maximum retransmissions of one packet before the whole payload is given up.
        margin: share of ``radio.gamma`` that planning reserves for retransmissions; None for their average.
    """

    probability: float = Field(0.0, ge=0, lt=1)
    packet: Annotated[int, Within(1, 10**7, "bytes")] = 1500
    retransmissions: Annotated[int, Within(0, 1000)] = 3
    margin: float | None = Field(None, ge=0, lt=1)

    @property
    def transmissions(self) -> float:
        """E, the average number of transmissions per packet."""
        return (1 - self.probability ** (self.retransmissions + 1)) / (1 - self.probability)

    @property
    def planned_margin(self) -> float:
        """``margin``; if it is None, 1 - 1/E with E the :attr:`transmissions`."""
        if self.margin is not None:
            return self.margin
        return 1 - 1 / self.transmissions


class RadioConfig(Settings):
    """The radio of every device.

    Attributes:
        channel: a name of :data:`meshtune.wireless.registry.CHANNELS`.
        trace: the CSV file of recorded gains; for the channel ``trace``.
        fading: ``rayleigh``: power fading, drawn anew each round; ``none``: every round has the mean gain. A trace
            includes its own fading, which ``none`` averages out.
        bandwidth: W, Hz of one device, split over the neighbours it sends to.
        noise_dbm_hz: noise power density N0, including the receiver's noise figure, if any.
        power_dbm: maximum transmit power of a device over all its links, p_max; 10 dBm are 10 mW.
        gamma: Gamma, maximum airtime of one link in seconds.
        range: metres beyond which no link is considered; None for no bound.
        spectrum: ``orthogonal``: every device has its own W; ``shared``: all use one W and interfere.
        cast: ``unicast``: one copy per neighbour, each in its share of W; ``broadcast``: one for all, in the whole W.
        u_plan: number of neighbours for which the budget of trained values is planned.
    """

    channel: str = "paper"
    log_distance: LogDistanceConfig = LogDistanceConfig()
    urban: UrbanConfig = UrbanConfig()
    trace: str | None = None
    fading: Literal["rayleigh", "none"] = "rayleigh"
    bandwidth: Hertz = 20e6
    noise_dbm_hz: Annotated[float, Within(-300, 50, "dBm/Hz")] = -174.0
    power_dbm: Annotated[float, Within(-200, 100, "dBm")] = 10.0
    gamma: Seconds = 0.5
    range: Metres | None = None
    spectrum: Literal["orthogonal", "shared"] = "orthogonal"
    cast: Literal["unicast", "broadcast"] = "unicast"
    loss: LossConfig = LossConfig()
    u_plan: Annotated[int, Within(1, 1_000_000)] = 4

    @field_validator("channel")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return check_channel(value)
        except UserError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _trace_and_file(self) -> RadioConfig:
        if self.channel == "trace" and not self.trace:
            raise ValueError("the channel trace needs a file of recorded gains: set radio.trace=FILE")
        if self.channel != "trace" and self.trace:
            raise ValueError(f"radio.trace={self.trace} is not read by channel {self.channel}: set radio.channel=trace")
        return self

    @property
    def noise_density(self) -> float:
        """N0 in W/Hz."""
        return float(10 ** (self.noise_dbm_hz / 10) / 1000)

    @property
    def p_max(self) -> float:
        """Maximum transmit power in W."""
        return float(10 ** (self.power_dbm / 10) / 1000)

    @property
    def planned_gamma(self) -> float:
        """Seconds that powers are planned for: Gamma minus the margin for retransmissions (method section 7)."""
        return self.gamma * (1 - self.loss.planned_margin)


class PlaceConfig(Settings):
    """Positions of devices and how they move.

    Attributes:
        radius: metres of the disc around the origin in which devices are placed (uniform by area) and move.
        positions: instead, x and y of every device in metres.
        file: instead, a CSV file with columns device, x, y.
        mobility: ``static``, or ``waypoint``: straight to a random point of the disc, pause, on to the next.
        speed: lowest and highest speed of a leg in m/s, drawn uniformly.
        pause: seconds of pause at each point.
    """

    radius: Metres = 500.0
    positions: tuple[tuple[Coordinate, Coordinate], ...] | None = None
    file: str | None = None
    mobility: Literal["static", "waypoint"] = "static"
    speed: tuple[Speed, Speed] = (0.5, 1.5)
    pause: Annotated[float, Within(0, 1e9, "s")] = 0.0

    @field_validator("speed", mode="before")
    @classmethod
    def _two_speeds(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError("give two speeds in m/s, the lowest and the highest, for example [0.5, 1.5]")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> PlaceConfig:
        if self.positions is not None and self.file is not None:
            raise ValueError("positions are given twice: keep places.positions or places.file")
        low, high = self.speed
        if low > high:
            raise ValueError(f"places.speed=[{low:g}, {high:g}]: the lowest speed comes first")
        if self.mobility == "waypoint" and 2 * self.radius / high + self.pause < QUICKEST:
            raise ValueError(
                f"places.speed=[{low:g}, {high:g}] crosses a disc of places.radius={self.radius:g} in less than "
                f"{QUICKEST:g} s: lower the speed, or raise places.radius or places.pause"
            )
        return self


class ComputeConfig(Settings):
    """The cost of computing in cycles; time is cycles / frequency, energy kappa cycles frequency^2.

    Attributes:
        cycles_per_token: cycles to train one token; None for 4 FLOP per parameter of the base (a forward pass, and a
            backward pass to the activations) at ``flops_per_cycle``.
        flops_per_cycle: operations of the processor per cycle.
        epsilon: instead, cycles per trained value and step, the coefficient of eq. 7.
        c_max: maximum cycles per round of a device (eq. 11); with epsilon it bounds how much is trained.
        frequency: Hz.
        kappa: effective switched capacitance in J s^2 (E = kappa cycles f^2): 1e-28 makes 0.8 W at 2 GHz.
        spread: ratio of the fastest device's frequency to the slowest one's; log-uniform around ``frequency``.
    """

    cycles_per_token: Cycles | None = None
    flops_per_cycle: Annotated[float, Within(1e-3, 1e9, "FLOP")] = 16.0
    epsilon: Cycles | None = None
    c_max: Cycles | None = None
    frequency: Annotated[float, Within(1e3, 1e13, "Hz")] = 2e9
    kappa: Annotated[float, Within(0, 1e-18, "J s²")] = 1e-28
    spread: Annotated[float, Within(1, 1e6)] = 1.0

    @model_validator(mode="after")
    def _one_model(self) -> ComputeConfig:
        if self.cycles_per_token is not None and self.epsilon is not None:
            raise ValueError("compute costs are given twice: keep compute.cycles_per_token or compute.epsilon")
        if self.c_max is not None and self.epsilon is None:
            raise ValueError("compute.c_max bounds the trained values by eq. 7: set compute.epsilon too")
        return self
