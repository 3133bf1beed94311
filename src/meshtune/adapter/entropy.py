"""Spectral entropy of a layer over a device's own inputs, computed exactly and cheaply (eq. 20, 21; method section 4).

C = H H^T / n for the layer's inputs H (k, n). The singular values of W0 C are those of (W0 H) H^T / n, whose rank is at
most n: with QR factors W0 H = Q1 R1 and H = Q2 R2 they are the singular values of the small R1 R2^T. Exact, and
O((d + k) n^2) instead of O(d k^2). Entropy = -sum p ln p with p = sigma / sum sigma, so the factor 1/n drops out.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

CHUNK = 1 << 22
"""Entries of W0 converted to float64 at a time: copying a whole large layer would take half as long as its product."""


def spectral_entropies(weights: Iterable[Tensor], inputs: Tensor) -> list[float]:
    """Return the spectral entropy (nats) of several layers that read the same inputs; H is factored once.

    Products and factors are in float64, whatever the type of the weights.

    Args:
        weights: W0 (d, k) of every layer, taken one at a time.
        inputs: H (k, n).
    """
    h = inputs.double()
    small = torch.linalg.qr(h, mode="r").R
    return [_entropy(torch.linalg.svdvals(torch.linalg.qr(_product(w, h), mode="r").R @ small.T)) for w in weights]


def spectral_entropy(weight: Tensor, inputs: Tensor) -> float:
    """Return the spectral entropy (nats) of W0 C for one layer; 0 if all inputs are 0.

    Args:
        weight: W0 (d, k).
        inputs: H (k, n).
    """
    return spectral_entropies([weight], inputs)[0]


def _product(weight: Tensor, h: Tensor) -> Tensor:
    """Return W0 H (d, n) in float64, computed for a few rows of W0 (d, k) at a time."""
    rows = max(1, CHUNK // max(1, weight.shape[1]))
    return torch.cat([part.double() @ h for part in torch.split(weight, rows)])


def _entropy(sigma: Tensor) -> float:
    total = sigma.sum()
    if total <= 0:
        return 0.0
    p = sigma / total
    p = p[p > 0]
    return float(-(p * p.log()).sum())
