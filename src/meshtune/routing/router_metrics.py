"""How well a router chooses: confusion, accuracy (also with similar groups merged), log-loss (method section 10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meshtune.routing.statistics import Array


def confusion(groups: Sequence[str], chosen: Sequence[str], truth: Sequence[str]) -> NDArray[np.int64]:
    """Return counts (G, G): rows are true groups, columns chosen ones."""
    place = {group: i for i, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(groups)), dtype=np.int64)
    for picked, right in zip(chosen, truth, strict=True):
        counts[place[right], place[picked]] += 1
    return counts


def accuracy(chosen: Sequence[str], truth: Sequence[str]) -> float:
    """Return the share of prompts whose chosen group is the true one."""
    return merged_accuracy(chosen, truth, [])


def merged_accuracy(chosen: Sequence[str], truth: Sequence[str], like: Sequence[Sequence[str]]) -> float:
    """Like :func:`accuracy`, with the groups of each set in ``like`` counted as one."""
    return sum(merged_right(chosen, truth, like)) / len(truth)


def merged_right(chosen: Sequence[str], truth: Sequence[str], like: Sequence[Sequence[str]]) -> list[float]:
    """Return 1 for every prompt whose group was chosen, or one that counts as the same, else 0."""
    name = {group: f"\0{number}" for number, members in enumerate(like) for group in members}
    return [float(name.get(c, c) == name.get(t, t)) for c, t in zip(chosen, truth, strict=True)]


def log_loss(gates: Array, groups: Sequence[str], truth: Sequence[str]) -> float:
    """Return the mean of -ln gate(true group), nats; gates (rows, G)."""
    columns = [list(groups).index(group) for group in truth]
    found = gates[np.arange(len(truth)), columns]
    return float(-np.log(np.maximum(found, 1e-300)).mean())
