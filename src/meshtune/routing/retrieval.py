"""Retrieval by embeddings, in the manner of LoraRetriever (Zhao et al. 2024): the group with the most similar prompts.

LoraRetriever embeds a prompt and a few training samples of every adapter with a sentence encoder, and the nearest mean
wins. Such an encoder would be a second model on every device, so the base's own token embeddings replace it: a prompt
is their mean, without running any block. The mean over groups is subtracted first, because mean embeddings all point
in nearly the same direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshtune.errors import UserError
from meshtune.routing.features import Features
from meshtune.routing.routers import Router, one_hot, unit
from meshtune.routing.statistics import Array, Statistics


class RetrievalRouter(Router):
    """Chooses the group whose mean prompt embedding is nearest by cosine, after subtracting the mean over groups.

    Args:
        sources: statistics by task key, each with its embedding; several sources of a key are weighted by prompts.

    Raises:
        UserError: a source announced no embedding.
    """

    def __init__(self, sources: Mapping[str, Sequence[Statistics]]) -> None:
        self.groups = tuple(sorted(group for group in sources if sources[group]))
        means = np.stack([_mean(sources[group]) for group in self.groups])
        self._centre = means.mean(axis=0)
        self._codes = unit(means - self._centre)

    def scores(self, seen: Features) -> Array:
        assert seen.embedded is not None
        found: Array = unit(np.asarray(seen.embedded, dtype=np.float64) - self._centre) @ self._codes.T
        return found

    def gates(self, seen: Features) -> Array:
        return one_hot(self.scores(seen))


def _mean(sources: Sequence[Statistics]) -> Array:
    """Return the mean embedding (k,) over the prompts of all ``sources``."""
    total = np.zeros_like(sources[0].mean)
    for source in sources:
        if source.embedding is None:
            raise UserError(
                "the router retrieval needs embeddings, and the devices of this run announced none: start a new run "
                "with retrieval in router.also"
            )
        total += source.embedding * source.count
    mean: Array = total / sum(source.count for source in sources)
    return mean
