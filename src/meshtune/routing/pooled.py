"""The within-group covariance, pooled over all known sources, as a diagonal plus low-rank factors.

Every source's sketch stands for V L V^T + diag(diagonal - diag(V L V^T)). Sources of one group are merged first: their
weighted mean becomes the group's, and the spread of their means is added to the covariance. Nothing of size k x k is
formed; the inverse is applied through the Woodbury identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshtune.errors import UserError
from meshtune.routing.statistics import Array, Statistics

FLOOR = 1e-6
"""Smallest diagonal entry relative to their mean: keeps constant features invertible."""


@dataclass(frozen=True)
class Pooled:
    """Group means and S = diag(rest) + factors factors^T.

    Attributes:
        groups: task keys, sorted.
        means: c_g (G, k).
        rest: (k,), the part of the diagonal outside the factors.
        factors: (k, q).
    """

    groups: tuple[str, ...]
    means: Array
    rest: Array
    factors: Array

    def covariance(self) -> Array:
        """Return S (k, k), for tests and small k."""
        dense: Array = np.diag(self.rest) + self.factors @ self.factors.T
        return dense

    def shrunk_inverse(self, vectors: Array, shrinkage: float) -> Array:
        """Return S'^-1 v for each row of ``vectors`` (n, k); S' = (1 - shrinkage) S + shrinkage diag(S)."""
        diagonal = self.rest + (self.factors**2).sum(axis=1)
        base = (1 - shrinkage) * self.rest + shrinkage * diagonal
        base = np.maximum(base, FLOOR * (float(diagonal.mean()) or 1.0))  # without any spread: nearest mean
        factors = np.sqrt(1 - shrinkage) * self.factors
        scaled: Array = vectors / base
        if factors.shape[1] == 0:
            return scaled
        weighted = factors / base[:, None]
        core = np.eye(factors.shape[1]) + factors.T @ weighted
        result: Array = scaled - (np.linalg.solve(core, (scaled @ factors).T).T) @ weighted.T
        return result


def pool(sources: Mapping[str, Sequence[Statistics]]) -> Pooled:
    """Merge sources by group and pool the within-group covariance, weighted by prompts (divisor: all prompts).

    Raises:
        UserError: there is no source, or their widths differ.
    """
    groups = tuple(sorted(group for group in sources if sources[group]))
    widths = {s.mean.size for group in groups for s in sources[group]}
    if len(widths) != 1:
        raise UserError(
            f"a router needs statistics of one width, it was given {sorted(widths) or 'none'}: one base model?"
        )
    total = sum(s.count for group in groups for s in sources[group])
    means, columns = [], []
    rest = np.zeros(widths.pop())
    for group in groups:
        count = sum(s.count for s in sources[group])
        centre = sum(s.mean * (s.count / count) for s in sources[group])
        means.append(centre)
        for s in sources[group]:
            share = s.count / total
            low = s.eigenvectors * np.sqrt(np.maximum(s.eigenvalues, 0.0) * share)
            rest += np.maximum(s.diagonal * share - (low**2).sum(axis=1), 0.0)
            columns.append(low)
            if len(sources[group]) > 1:
                columns.append(((s.mean - centre) * np.sqrt(share))[:, None])
    return Pooled(groups, np.stack(means), rest, np.concatenate(columns, axis=1))
