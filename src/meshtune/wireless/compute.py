"""The cost of computing in time and energy, and how many values a device may train within its budgets.

Work is counted in cycles, either per token or by eq. 7: epsilon cycles for each trained value in each of N/batch
steps. A processor at f Hz takes cycles/f seconds and kappa cycles f^2 joules (the usual model of dynamic power, with
effective switched capacitance kappa).
"""

from __future__ import annotations

import math

import numpy as np

from meshtune.errors import UserError, enough
from meshtune.wireless.arrays import Floats, Numbers
from meshtune.wireless.config import ComputeConfig
from meshtune.wireless.draws import uniforms
from meshtune.wireless.link import Radio, payload_limit

FLOP_PER_PARAMETER = 4  # per token: 2 forward, 2 backward to the activations; frozen weights have no gradients


def frequencies(config: ComputeConfig, devices: int, seed: int) -> Floats:
    """Return each device's processor frequency in Hz, (devices,).

    Log-uniform from ``frequency`` / sqrt(spread) to ``frequency`` sqrt(spread); a function of seed and device id.
    """
    u, _ = uniforms(seed, "frequency", first=np.arange(devices), second=0)
    found: Floats = config.frequency * config.spread ** (u - 0.5)
    return found


def token_cycles(config: ComputeConfig, parameters: int) -> float:
    """Return the cycles to train one token on a base model with ``parameters`` parameters."""
    if config.cycles_per_token is not None:
        return config.cycles_per_token
    return FLOP_PER_PARAMETER * parameters / config.flops_per_cycle


def round_cycles(
    config: ComputeConfig, parameters: int, tokens: Numbers, values: Numbers, samples: Numbers, batch: int
) -> Floats:
    """Return the cycles of a round, one entry per device: by eq. 7 if ``epsilon`` is set, else by tokens.

    Args:
        config: coefficients.
        parameters: of the base model.
        tokens: trained in the round.
        values: Q, trained values.
        samples: N, rows trained in the round: steps times batch.
        batch: rows per step.
    """
    if config.epsilon is not None:
        return np.multiply(values, samples) * config.epsilon / batch
    return np.asarray(tokens, dtype=np.float64) * token_cycles(config, parameters)


def compute_time(cycles: Numbers, frequency: Numbers) -> Floats:
    """Return seconds: cycles / f."""
    found: Floats = np.divide(cycles, frequency)
    return found


def compute_energy(cycles: Numbers, frequency: Numbers, kappa: float) -> Floats:
    """Return joules: kappa cycles f^2."""
    found: Floats = np.multiply(cycles, np.square(frequency)) * kappa
    return found


def compute_limit(config: ComputeConfig, samples: int, batch: int) -> float:
    """Return how many values c_max lets a device train, Q = c_max batch / (epsilon N) (eq. 7, 11); may be infinite.

    Args:
        config: coefficients.
        samples: N, rows trained in a round.
        batch: rows per step.

    Raises:
        UserError: it is less than one value.
    """
    if config.c_max is None or config.epsilon is None:
        return math.inf
    found = config.c_max * batch / (config.epsilon * samples)
    if found < 1:
        raise UserError(
            f"compute.c_max={config.c_max:g} cycles a round pay for no trained value in {samples} rows: raise it to "
            f"at least {enough(config.epsilon * samples / batch)}"
        )
    return found


def link_limit(radio: Radio, gain: float, u: int, bits_per_value: float, header_bits: float = 0.0) -> float:
    """Return how many values one link carries within Gamma when ``u`` neighbours are served (method section 7).

    Args:
        radio: the device's radio.
        gain: of each neighbour, linear; planning uses the median in range.
        u: number of neighbours; ``radio.u_plan`` in planning.
        bits_per_value: of the payload's form.
        header_bits: bits of the payload besides its values.

    Raises:
        UserError: it is less than one value.
    """
    bits = payload_limit(radio, gain, u)
    found = (bits - header_bits) / bits_per_value
    if found < 1:
        raise UserError(
            f"a link of gain {gain:.3g} carries {bits:.3g} bits within {radio.gamma:g} s to {u} neighbours, not one "
            "trained value: raise radio.power_dbm or radio.gamma, or lower radio.u_plan"
        )
    return found
