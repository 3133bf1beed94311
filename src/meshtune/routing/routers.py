"""Training-free routers: from a prompt's vector to the weights of the groups' experts (method section 8).

``whitened`` scores a group by x^T P c_g - c_g^T P c_g / 2 with P the inverse of the shrunk pooled covariance (linear
discriminant analysis with equal priors). Whitening is needed because hidden states of language models are highly
anisotropic: unwhitened codes of different tasks have cosines of 0.99 and cannot be told apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from meshtune.errors import UserError
from meshtune.routing.abstention import Abstention
from meshtune.routing.config import RouterConfig, check_router
from meshtune.routing.features import Features
from meshtune.routing.pooled import pool
from meshtune.routing.registry import ROUTERS
from meshtune.routing.statistics import Array, Statistics

if TYPE_CHECKING:
    from meshtune.adapter.expert import Expert
    from meshtune.adapter.route import Bank

DEFAULTS = RouterConfig()


class Router(ABC):
    """Decides which experts answer.

    Attributes:
        groups: the task keys it chooses between, in the order of its columns.
        by_token: whether weights are computed per token inside the layers; the gates then decide nothing.
        abstention: decides how much of an answer the experts get; None if they always get all of it.
    """

    groups: tuple[str, ...]
    by_token = False
    abstention: Abstention | None = None

    @abstractmethod
    def scores(self, seen: Features) -> Array:
        """Return scores (prompts, G); the group with the largest wins."""

    @abstractmethod
    def gates(self, seen: Features) -> Array:
        """Return weights (prompts, G); every row sums to 1."""

    def bank(self, experts: Sequence[Expert]) -> Bank | None:
        """Return a bank that weights ``experts`` inside the layers; None if they are simply weighted by gates."""
        return None


class WhitenedRouter(Router):
    """Linear discriminant scores over pooled task statistics; soft gates, or everything to the best group.

    Args:
        sources: statistics by task key; several sources of a key are merged.
        shrinkage: share of the diagonal in S' = (1 - s) S + s diag(S).
        temperature: T of softmax(score / T).
        top1: give everything to the best group.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[Statistics]],
        shrinkage: float = 0.5,
        temperature: float = 8.0,
        top1: bool = False,
    ) -> None:
        pooled = pool(sources)
        self.groups = pooled.groups
        self.temperature = temperature
        self.top1 = top1
        # Scores differ between groups only by x's offset from any fixed point; the mean of the group means keeps the
        # few huge coordinates of hidden states from swamping the rest.
        self._centre = pooled.means.mean(axis=0)
        offsets = pooled.means - self._centre
        self._directions = pooled.shrunk_inverse(offsets, shrinkage)
        self._bias = -0.5 * (self._directions * offsets).sum(axis=1)

    def scores(self, seen: Features) -> Array:
        found: Array = (np.asarray(seen.hidden, dtype=np.float64) - self._centre) @ self._directions.T + self._bias
        return found

    def gates(self, seen: Features) -> Array:
        scores = self.scores(seen)
        return one_hot(scores) if self.top1 else softmax(scores / self.temperature)


class CosineRouter(Router):
    """The nearest raw task code by cosine, which the paper's codes amount to. For comparison."""

    def __init__(self, sources: Mapping[str, Sequence[Statistics]]) -> None:
        pooled = pool(sources)
        self.groups = pooled.groups
        self._codes = unit(pooled.means)

    def scores(self, seen: Features) -> Array:
        found: Array = unit(np.asarray(seen.hidden, dtype=np.float64)) @ self._codes.T
        return found

    def gates(self, seen: Features) -> Array:
        return one_hot(self.scores(seen))


class Reader(Router):
    """A reading of the paper's eq. 26: weights are computed per token inside the layers, so there are none here.

    Args:
        reading: a name of :data:`meshtune.methods.config.Reading`.
        top_k: how many coordinates each token keeps; None for the rank.
    """

    groups = ()
    by_token = True

    def __init__(self, reading: str, top_k: int | None = None) -> None:
        self.reading, self.top_k = reading, top_k

    def scores(self, seen: Features) -> Array:
        return np.zeros((len(seen), 0))

    def gates(self, seen: Features) -> Array:
        return np.zeros((len(seen), 0))


class OracleRouter:
    """The perfect router: it is given the true group of every prompt."""

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(sorted(groups))

    def gates_for(self, truth: Sequence[str]) -> Array:
        """Return one-hot gates (len(truth), G).

        Raises:
            UserError: a group is unknown.
        """
        gates = np.zeros((len(truth), len(self.groups)))
        for row, group in enumerate(truth):
            if group not in self.groups:
                raise UserError(f"the oracle knows no group {group}: it knows {', '.join(self.groups)}")
            gates[row, self.groups.index(group)] = 1.0
        return gates


def make_router(name: str, sources: Mapping[str, Sequence[Statistics]], settings: RouterConfig = DEFAULTS) -> Router:
    """Return the router called ``name``, fitted to ``sources``.

    Raises:
        UserError: there is no such router (the message names the nearest), or it needs what the sources did not
            announce.
    """
    router: Router = ROUTERS[check_router(name)](sources, settings)
    if settings.abstain != "never" and not router.by_token:
        every = [source for group in router.groups for source in sources[group]]
        if all(source.limits is None for source in every):
            raise UserError(
                f"router.abstain={settings.abstain} needs limits, and the devices of this run announced none: start a "
                "new run with it, and with more held-out rows (validation) if it has it"
            )
        router.abstention = Abstention(every, settings.shrinkage, soft=settings.abstain == "share")
    return router


def softmax(scores: Array) -> Array:
    """Return the softmax of every row."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Array = raised / raised.sum(axis=1, keepdims=True)
    return result


def one_hot(scores: Array) -> Array:
    """Return 1 at every row's largest entry (the first one of ties), 0 elsewhere."""
    gates = np.zeros_like(scores)
    gates[np.arange(len(scores)), scores.argmax(axis=1)] = 1.0
    return gates


def unit(rows: Array) -> Array:
    """Return every row scaled to length 1; a row of zeros is unchanged."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Array = rows / np.maximum(length, np.finfo(np.float64).tiny)
    return result
