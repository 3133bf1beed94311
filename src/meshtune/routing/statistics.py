"""A device's task statistics: what it tells others about its prompts so that they can route (method section 8).

A mean, a count, and a sketch of the covariance of its prompt vectors: the leading eigenvectors and the diagonal. About
36 k bytes in bfloat16 for width k and sketch 16; the k x k matrix is never sent, and no prompt leaves the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshtune.errors import UserError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """What one source knows of its prompts.

    Attributes:
        mean: c (k,).
        count: n, prompts behind it.
        eigenvalues: the q largest of the covariance (divisor n), descending (q,).
        eigenvectors: (k, q).
        diagonal: the covariance's diagonal (k,).
    """

    mean: Array
    count: int
    eigenvalues: Array
    eigenvectors: Array
    diagonal: Array

    def to_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays by name, as they go on the air."""
        return {
            "mean": self.mean.astype(np.float32),
            "eigenvalues": self.eigenvalues.astype(np.float32),
            "eigenvectors": self.eigenvectors.astype(np.float32),
            "diagonal": self.diagonal.astype(np.float32),
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, NDArray[np.float32]], count: int) -> Statistics:
        """The inverse of :meth:`to_tensors`.

        Raises:
            UserError: shapes do not fit one another or the count is not positive.
        """
        read = {
            name: np.asarray(tensors[name], dtype=np.float64)
            for name in ("mean", "eigenvalues", "eigenvectors", "diagonal")
        }
        k, q = read["mean"].size, read["eigenvalues"].size
        if count < 1 or read["eigenvectors"].shape != (k, q) or read["diagonal"].shape != (k,):
            raise UserError(f"task statistics of {count} prompts with shapes that do not fit width {k}: another model?")
        return Statistics(read["mean"], count, read["eigenvalues"], read["eigenvectors"], read["diagonal"])


def summarise(features: Array, rank: int = 16) -> Statistics:
    """Return the statistics of prompt vectors.

    Args:
        features: (n, k), one row a prompt.
        rank: eigenvectors kept, at most min(n, k).

    Raises:
        UserError: there is no prompt, or a vector is not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] == 0:
        raise UserError("task statistics need at least one prompt")
    if not np.isfinite(x).all():
        raise UserError(
            "a prompt vector is not finite: the base model overflows in this dtype, use float32 or bfloat16"
        )
    mean = x.mean(axis=0)
    centred = (x - mean) / np.sqrt(x.shape[0])
    # Right singular vectors of the centred prompts are the covariance's eigenvectors; k x k is never formed.
    _, sigma, vectors = np.linalg.svd(centred, full_matrices=False)
    q = min(rank, sigma.size)
    return Statistics(mean, x.shape[0], sigma[:q] ** 2, vectors[:q].T.copy(), (centred**2).sum(axis=0))
