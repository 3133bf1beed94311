"""The scales of values at 2 bits, of which each is sent as -1, 0 or 1 times the scale of its block.

With the block's largest magnitude as its scale, as at 4 and 8 bits, most values would round to 0. A smaller scale cuts
the largest values and keeps more of the others; what is cut is in the next version's difference, as every rounding
error is. Whatever the scale, no value is further from 0 after its cut or rounding error is taken off than before, so
error feedback converges (EF21's contraction). SparseLoCo (Sarfi et al. 2025, arXiv:2508.15706) also sends 2 bits with
error feedback.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHARES = (1.0, 2 / 3, 1 / 2, 1 / 3)
"""The scales to choose from, as shares of a block's largest magnitude."""


def ternary_scales(values: Tensor, peaks: Tensor) -> Tensor:
    """Return the scale s of every block (blocks,) with the least sum of (x - s q)^2, q of -1, 0, 1 nearest x / s.

    Args:
        values: the blocks (blocks, n).
        peaks: the largest magnitude of each (blocks,); a block whose squares overflow has this as its scale.
    """
    size = values.abs()
    best, least = peaks.clone(), torch.full_like(peaks, math.inf)
    for share in SHARES:
        scale = peaks * share
        left = torch.where(size < scale[:, None] / 2, size, size - scale[:, None]).square_().sum(dim=1)
        better = left < least
        best, least = torch.where(better, scale, best), torch.where(better, left, least)
    return best
