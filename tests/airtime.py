"""What an update of some values takes over the paper's channel, by the formulas."""

from __future__ import annotations

import torch

from meshtune.wire.payload import Message, encode


def update_bits(values: int, round_: int = 1) -> float:
    """Return the bits of one bfloat16 update."""
    return 8.0 * len(encode(Message("update", 0, round_, 0, {}, {"values": torch.zeros(values).bfloat16()})))


def least_power(bits: float, metres: float, u: int = 1, gamma: float = 0.5) -> float:
    """Return Lemma 1's power to each of u neighbours over the paper's channel, with N0 = -174 dBm/Hz and W = 20 MHz."""
    band = 20e6 / u
    return 10 ** (-17.4) / 1000 * band * metres**2 * (2 ** (bits / (band * gamma)) - 1)
