"""How many positions of B each layer may train, under one common budget (eq. 22; method section 4).

Shares are the softmax of the layers' spectral entropies. No layer gets more than it has (the paper's "max" must read
"min"); the overflow is redistributed over the others in proportion to their shares, until the budget is spent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.errors import UserError


def water_fill(shares: Sequence[float], sizes: Sequence[int], total: int) -> list[int]:
    """Return integer counts in proportion to ``shares``, each at most its size, that sum to min(total, sum of sizes).

    Args:
        shares: non-negative weights; layers of share 0 are filled last, evenly.
        sizes: the maximum of each count.
        total: the budget Q.
    """
    room = np.asarray(sizes, dtype=np.float64)
    weight = np.asarray(shares, dtype=np.float64)
    want = float(min(total, int(sum(sizes))))
    filled = np.zeros_like(room)
    while True:
        open_ = filled < room
        left = want - filled[~open_].sum()
        if not open_.any() or left <= 0:
            filled[open_] = 0.0
            break
        now = np.where(open_, weight, 0.0)
        if now.sum() <= 0:
            now = open_.astype(np.float64)
        wish = left * now / now.sum()
        over = open_ & (wish >= room)
        if not over.any():
            filled = np.where(open_, wish, filled)
            break
        filled[over] = room[over]
    counts = np.minimum(np.floor(filled + 1e-9), room)
    missing = round(want - counts.sum())
    remainder = np.where(counts < room, filled - counts, -1.0)
    while missing > 0:  # largest remainders first, ties by index; repeated if a layer is full
        order = [i for i in np.argsort(-remainder, kind="stable") if counts[i] < room[i]]
        for i in order[:missing]:
            counts[i] += 1
            missing -= 1
    return [int(count) for count in counts]


def layer_counts(
    entropies: Sequence[float] | None,
    sizes: Sequence[int],
    density: float,
    kind: str = "entropy",
    temperature: float = 1.0,
) -> list[int]:
    """Return how many positions each layer keeps; they sum to round(density * sum of sizes), at least one.

    Args:
        entropies: spectral entropy of every layer (nats); not needed for ``uniform``.
        sizes: d r of every layer.
        density: share of all positions, in (0, 1].
        kind: ``entropy``: shares softmax(entropy / T); ``size_weighted``: shares in proportion to d e^(entropy / T);
            ``uniform``: the same density everywhere.
        temperature: T.

    Raises:
        UserError: the density lies outside (0, 1] or the kind is unknown.
    """
    if not 0 < density <= 1:
        raise UserError(f"adapter.density={density} is outside (0, 1]: 0.1 trains a tenth of B's positions")
    total = max(1, round(density * sum(sizes)))
    if kind == "uniform":
        return water_fill([float(size) for size in sizes], sizes, total)
    if entropies is None or kind not in ("entropy", "size_weighted"):
        raise UserError(f"adapter.budget={kind} is not known: choose from entropy, uniform, size_weighted")
    scaled = np.asarray(entropies, dtype=np.float64) / temperature
    shares = np.exp(scaled - scaled.max())
    if kind == "size_weighted":
        shares = shares * np.asarray(sizes, dtype=np.float64)
    return water_fill(shares.tolist(), sizes, total)
