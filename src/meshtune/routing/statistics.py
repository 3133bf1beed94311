"""A device's task statistics: what it announces about its prompts so that others can route (method section 8).

They are a mean, a count, and a sketch of the covariance of its prompt vectors: the leading eigenvectors and the
diagonal. They take about 36 k bytes in bfloat16 for width k and sketch 16; the k x k matrix is never sent, and no
prompt leaves the device. If prompts are retrieved by embeddings, their mean embedding is added: 2 k bytes more. If
unknown tasks are left to the frozen model, two numbers tell how far its own prompts are from its mean.
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
    """The statistics of one source's prompts.

    Attributes:
        mean: c (k,).
        count: n, number of prompts.
        eigenvalues: the q largest of the covariance (divisor n), descending (q,).
        eigenvectors: (k, q).
        diagonal: the covariance's diagonal (k,).
        embedding: the mean of its prompts' embeddings (k,); None if no router needs it.
        limits: the median and the largest distance of a prompt of its task (2,), see
            :mod:`meshtune.routing.abstention`; None if nothing is refused, or it has too few prompts to say.
    """

    mean: Array
    count: int
    eigenvalues: Array
    eigenvectors: Array
    diagonal: Array
    embedding: Array | None = None
    limits: Array | None = None

    def to_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays by name, as they are sent."""
        made = {
            "mean": self.mean.astype(np.float32),
            "eigenvalues": self.eigenvalues.astype(np.float32),
            "eigenvectors": self.eigenvectors.astype(np.float32),
            "diagonal": self.diagonal.astype(np.float32),
        }
        if self.embedding is not None:
            made["embedding"] = self.embedding.astype(np.float32)
        if self.limits is not None:
            made["limits"] = self.limits.astype(np.float32)
        return made

    @staticmethod
    def from_tensors(tensors: Mapping[str, NDArray[np.float32]], count: int) -> Statistics:
        """The inverse of :meth:`to_tensors`.

        Raises:
            UserError: an array is missing or not finite, the shapes are inconsistent, a variance or distance is
                negative, the median is above the limit, or the count is not positive.
        """
        missing = [name for name in ("mean", "eigenvalues", "eigenvectors", "diagonal") if name not in tensors]
        if missing:
            raise UserError(f"task statistics without {' and '.join(missing)}: another version?")
        read = {
            name: np.asarray(tensors[name], dtype=np.float64)
            for name in ("mean", "eigenvalues", "eigenvectors", "diagonal", "embedding", "limits")
            if name not in ("embedding", "limits") or name in tensors
        }
        k, q = read["mean"].size, read["eigenvalues"].size
        vectors = {read[name].shape for name in read if name not in ("eigenvalues", "eigenvectors", "limits")}
        shapes = (read["eigenvalues"].shape, read["eigenvectors"].shape)
        pair = read["limits"].shape == (2,) if "limits" in read else True
        if count < 1 or shapes != ((q,), (k, q)) or vectors != {(k,)} or not pair:
            raise UserError(f"task statistics of {count} prompts with shapes that do not fit width {k}: another model?")
        if not all(np.isfinite(array).all() for array in read.values()):
            raise UserError("task statistics are not finite: another model, or damaged?")
        if (read["eigenvalues"] < 0).any() or (read["diagonal"] < 0).any():
            raise UserError("task statistics with a variance below 0: another model, or damaged?")
        if "limits" in read and not 0 <= read["limits"][0] <= read["limits"][1]:
            raise UserError("task statistics with a median distance below 0 or above the limit: damaged?")
        return Statistics(count=count, **read)


def summarise(hidden: Array, rank: int = 16, embedded: Array | None = None) -> Statistics:
    """Return the statistics of prompt vectors.

    Args:
        hidden: (n, k), one row per prompt.
        rank: eigenvectors kept, at most min(n, k).
        embedded: (n, k), the prompts' embeddings, if their mean is to be announced.

    Raises:
        UserError: there is no prompt, or a vector is not finite.
    """
    x = np.asarray(hidden, dtype=np.float64)
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
    centre = None if embedded is None else np.asarray(embedded, dtype=np.float64).mean(axis=0)
    return Statistics(mean, x.shape[0], sigma[:q] ** 2, vectors[:q].T.copy(), (centred**2).sum(axis=0), centre)
