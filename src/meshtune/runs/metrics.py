"""Names of measures, and the score of several samples of one answer. No heavy imports: reports use it too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import comb

METRICS = ("nll", "option_nll", "acc", "acc_norm", "rouge_l")
"""Every measure except ``pass@k``, which exists for every k."""

_PASS_AT = re.compile(r"pass@([1-9][0-9]*)")


def metrics_in(names: Iterable[str]) -> list[str]:
    """Return the measures among ``names`` once each: those of :data:`METRICS` in its order, then ``pass@k`` by k."""
    given = set(names)
    passes = sorted(int(match[1]) for name in given if (match := _PASS_AT.fullmatch(name)))
    return [*(metric for metric in METRICS if metric in given), *(f"pass@{k}" for k in passes)]


def pass_at(samples: int, right: int, k: int) -> float:
    """Return the unbiased estimate of the probability that one of ``k`` answers is right: 1 - C(n - c, k) / C(n, k).

    Args:
        samples: n, how many answers were written.
        right: c, how many of them are right.
        k: how many answers may be submitted; at most n.
    """
    return 1 - comb(samples - right, k) / comb(samples, k)
