"""What a router may look at: each prompt as the frozen model sees it at two depths, one row a prompt.

The state some way into the model tells tasks apart best; the token embeddings, which no block has read yet, stand in
for a sentence encoder, and are there only where a router asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from meshtune.routing.statistics import Array


@dataclass(frozen=True)
class Features:
    """Prompts, as routers see them.

    Attributes:
        hidden: (prompts, k) mean over each prompt's tokens of the input of the block at ``router.depth``.
        embedded: (prompts, k) the same of their embeddings, the input of the first block; None where not asked for.
    """

    hidden: Array
    embedded: Array | None = None

    def __len__(self) -> int:
        return len(self.hidden)

    @staticmethod
    def joined(parts: Iterable[Features]) -> Features:
        """Return the prompts of all ``parts``, one behind the other; all have embeddings or none."""
        every = list(parts)
        embedded = [part.embedded for part in every if part.embedded is not None]
        return Features(np.concatenate([part.hidden for part in every]), np.concatenate(embedded) if embedded else None)
