"""The link budget's formulas, elementwise over links: noise, rate, delay, energy, least power, outage.

A device splits its bandwidth W evenly over the u neighbours it sends to (OFDMA), so a link has W/u and the noise in it
(eq. 8). For a fixed payload energy rises with power, so the least power that meets the delay bound is optimal: Lemma 1,
eq. 25. All arguments broadcast; SI units throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Floats, Numbers
from meshtune.wireless.config import RadioConfig


@dataclass(frozen=True)
class Radio:
    """The radio parameters that the formulas need.

    Attributes:
        bandwidth: W, Hz of one device.
        noise_density: N0, W/Hz.
        p_max: maximum transmit power of one device over all its links, W.
        gamma: maximum delay of a link in seconds, for which powers are chosen.

    Raises:
        UserError: one of them is not a number above 0.
    """

    bandwidth: float
    noise_density: float
    p_max: float
    gamma: float

    def __post_init__(self) -> None:
        for name, value, unit, remedy in (
            ("bandwidth", self.bandwidth, "Hz", "set radio.bandwidth above 0"),
            ("noise density", self.noise_density, "W/Hz", "set radio.noise_dbm_hz, for example to -174"),
            ("highest power", self.p_max, "W", "set radio.power_dbm, for example to 10"),
            ("delay bound Gamma", self.gamma, "s", "set radio.gamma above 0"),
        ):
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"a {name} of {value:g} {unit} lets nothing be sent or means nothing: {remedy}")

    @staticmethod
    def of(config: RadioConfig) -> Radio:
        """Return the radio of a configuration; its Gamma excludes the margin for retransmissions."""
        return Radio(config.bandwidth, config.noise_density, config.p_max, config.planned_gamma)


def noise_power(radio: Radio, u: Numbers = 1) -> Floats:
    """Return sigma^2 = N0 W/u in W: the noise in one of ``u`` shares of the band."""
    found: Floats = radio.noise_density * radio.bandwidth / np.asarray(u, dtype=np.float64)
    return found


def rate(radio: Radio, power: Numbers, gain: Numbers, u: Numbers = 1, interference: Numbers = 0.0) -> Floats:
    """Return the rate of every link in bit/s: (W/u) log2(1 + p h / (sigma^2 + I)), eq. 8.

    Args:
        radio: the sender's radio.
        power: p, transmit power on the link, W.
        gain: h, linear.
        u: neighbours over which the sender splits its band.
        interference: I, other power received in the link's share of the band, W.
    """
    snr = np.multiply(power, gain) / (noise_power(radio, u) + interference)
    found: Floats = radio.bandwidth / np.asarray(u, dtype=np.float64) * np.log1p(snr) / math.log(2)
    return found


def delay(bits: Numbers, rate: Numbers) -> Floats:
    """Return the seconds on the air, bits/rate: 0 for no bits, infinite for no rate."""
    bits, rate = np.asarray(bits, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    shape = np.broadcast_shapes(bits.shape, rate.shape)
    found: Floats = np.divide(bits, rate, out=np.where(np.broadcast_to(bits, shape) > 0, np.inf, 0.0), where=rate > 0)
    return found


def energy(power: Numbers, delay: Numbers) -> Floats:
    """Return the joules of transmission, power times delay; 0 if no power is spent."""
    power, delay = np.asarray(power, dtype=np.float64), np.asarray(delay, dtype=np.float64)
    shape = np.broadcast_shapes(power.shape, delay.shape)
    found: Floats = np.multiply(power, delay, out=np.zeros(shape), where=power > 0)
    return found


def required_power(radio: Radio, bits: Numbers, gain: Numbers, u: Numbers = 1, interference: Numbers = 0.0) -> Floats:
    """Return the least power that sends ``bits`` within Gamma, W: Lemma 1, eq. 25.

    p* = ((sigma^2 + I) / h) (2^(bits u / (W Gamma)) - 1). Infinite if the gain is 0 or the number overflows: no power
    suffices.

    Args:
        radio: the sender's radio.
        bits: of the payload.
        gain: h, linear.
        u: neighbours over which the sender splits its band.
        interference: I, other power received in the link's share of the band, W.
    """
    gain = np.asarray(gain, dtype=np.float64)
    received = (noise_power(radio, u) + interference) * snr_needed(radio, bits, u)
    shape = np.broadcast_shapes(received.shape, gain.shape)
    with np.errstate(over="ignore"):
        found: Floats = np.divide(received, gain, out=np.full(shape, np.inf), where=gain > 0)
    return found


def snr_needed(radio: Radio, bits: Numbers, u: Numbers = 1) -> Floats:
    """Return 2^(bits u / (W Gamma)) - 1, the signal-to-noise ratio needed to send ``bits`` within Gamma."""
    exponent = np.multiply(bits, u) / (radio.bandwidth * radio.gamma)
    with np.errstate(over="ignore"):  # to infinity: no signal suffices
        found: Floats = np.expm1(exponent * math.log(2))
    return found


def total_power(radio: Radio, bits: Numbers, u: Numbers, inverse_gains: Numbers) -> Floats:
    """Return the sum of Lemma 1's powers to ``u`` neighbours, W (method section 7); feasible if at most p_max.

    Args:
        radio: the sender's radio.
        bits: of the payload.
        u: number of neighbours.
        inverse_gains: the sum of 1/h over them, which can be updated incrementally.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found: Floats = noise_power(radio, u) * snr_needed(radio, bits, u) * inverse_gains
    return found


def outage_probability(radio: Radio, bits: Numbers, mean_gain: Numbers, u: Numbers = 1) -> Floats:
    """Return the probability that, with Rayleigh fading, p_max cannot carry the payload: 1 - exp(-p*(rho=1) / p_max).

    For a device that sends to one neighbour; with ``u`` above 1, for one link that could have p_max for itself.
    """
    found: Floats = -np.expm1(-required_power(radio, bits, mean_gain, u) / radio.p_max)
    return found


def payload_limit(radio: Radio, gain: float, u: int) -> float:
    """Return the maximum bits that one link carries within Gamma, to ``u`` neighbours of equal gain sharing p_max.

    Each has W/u and p_max/u, so bits = (W Gamma / u) log2(1 + p_max h / (N0 W)).
    """
    return float(radio.gamma * rate(radio, radio.p_max / u, gain, u))
