"""Retrieval of tasks, in the manner of LoRAuter (Dhasade et al. 2026): the most similar tasks, weighted by similarity.

LoRAuter embeds a small validation set of every task with a sentence encoder and takes the mean as the task's
representation. A prompt retrieves the k tasks most similar by cosine, and their adapters are composed with the softmax
of the similarities. Here a prompt's embedding is its mean hidden state in the frozen model, because no device has an
encoder, and a task's is the mean that its devices announced over training prompts. These states all point in nearly the
same direction, so the mean over tasks is subtracted first. LoRAuter also searches a pool for each task's best adapter;
here every task has exactly one expert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshtune.routing.features import Features
from meshtune.routing.pooled import pool
from meshtune.routing.routers import Router, softmax, unit
from meshtune.routing.statistics import Array, Statistics


class LorauterRouter(Router):
    """Softmax over the most similar tasks.

    Args:
        sources: statistics by task key; several sources of a key are merged.
        top_k: tasks that a prompt retrieves; all if there are fewer.
        temperature: T of softmax(cosine / T).
    """

    def __init__(self, sources: Mapping[str, Sequence[Statistics]], top_k: int = 3, temperature: float = 0.2) -> None:
        pooled = pool(sources)
        self.groups = pooled.groups
        self._top_k, self._temperature = min(top_k, len(self.groups)), temperature
        self._centre = pooled.means.mean(axis=0)
        self._codes = unit(pooled.means - self._centre)

    def scores(self, seen: Features) -> Array:
        found: Array = unit(np.asarray(seen.hidden, dtype=np.float64) - self._centre) @ self._codes.T
        return found

    def gates(self, seen: Features) -> Array:
        scores = self.scores(seen)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._top_k]
        kept = np.full_like(scores, -np.inf)
        np.put_along_axis(kept, best, np.take_along_axis(scores, best, axis=1), axis=1)
        return softmax(kept / self._temperature)
