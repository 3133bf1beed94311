"""The paper's agglomeration as plainly as it can be written, O(K^3): what quicker ways are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Cluster = tuple[int, ...]


def greedy(ids: Iterable[int], key: Callable[[Cluster, Cluster], Any]) -> tuple[Cluster, ...]:
    """Merge the pair with the least ``key`` until none is allowed (``key`` is None for all)."""
    clusters = {(device,) for device in ids}
    keys = {(a, b): key(a, b) for a in clusters for b in clusters if a < b}
    while allowed := [(value, pair) for pair, value in keys.items() if value is not None]:
        gone = min(allowed)[1]
        clusters -= set(gone)
        keys = {pair: value for pair, value in keys.items() if not set(pair) & set(gone)}
        union = tuple(sorted(gone[0] + gone[1]))
        keys |= {pair: key(*pair) for other in clusters for pair in [(min(union, other), max(union, other))]}
        clusters.add(union)
    return tuple(sorted(clusters))
