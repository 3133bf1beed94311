"""The inputs of routers: each prompt's representation in the frozen model at two depths, one row per prompt.

The hidden state some way into the model separates tasks best. The token embeddings, before any block, stand in for a
sentence encoder; they are computed only if a router needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from meshtune.routing.statistics import Array


@dataclass(frozen=True)
class Features:
    """Prompts as routers see them.

    Attributes:
        hidden: (prompts, k) mean over each prompt's tokens of the input of the block at ``router.depth``.
        embedded: (prompts, k) the same for their embeddings, the input of the first block; None if not needed.
    """

    hidden: Array
    embedded: Array | None = None

    def __len__(self) -> int:
        return len(self.hidden)

    @staticmethod
    def joined(parts: Iterable[Features]) -> Features:
        """Return the prompts of all ``parts``, concatenated; either all have embeddings or none has."""
        every = list(parts)
        embedded = [part.embedded for part in every if part.embedded is not None]
        return Features(np.concatenate([part.hidden for part in every]), np.concatenate(embedded) if embedded else None)
