"""Ready-made policies for methods: what devices train, where masks come from, what is exchanged, how prompts route.

Each policy is an object. A method names the ones it uses, or defines its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from meshtune.adapter.columns import parted
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.preparation import Preparation
from meshtune.methods.state import NEGOTIATED, Announcement, Masks
from meshtune.routing.config import RouterConfig


class AdapterKind(ABC):
    """What devices train.

    Attributes:
        name: as used by learning rates and results.
        projected: whether values belong to positions of a mask after projections, which announcements then name.
        frozen_base: whether the base model's own weights stay unchanged.
    """

    name: str
    projected = False
    frozen_base = True

    @abstractmethod
    def count(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        """Return how many scalars a device trains; ``parameters`` is the number of the model's."""

    def sent(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        """Return how many scalars a device sends in one round at most; by default all that it trains."""
        return self.count(layers, rank, density, parameters)

    def kept(self, layers: Sequence[LayerSpec]) -> int:
        """Return how many scalars a device keeps beside these, neither trained nor sent; by default none."""
        return 0


class SparseAdapter(AdapterKind):
    """B's values at the positions of a mask, after a frozen A."""

    name = "sparse"
    projected = True

    def count(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        return sum(layer_counts(None, sizes(layers, rank), density, "uniform"))


class LoraAdapter(AdapterKind):
    """A and B of every layer, dense."""

    name = "lora"

    def count(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        return rank * sum(layer.inputs + layer.outputs for layer in layers)


class FactorAdapter(LoraAdapter):
    """A and B of every layer, dense, trained and sent in turn."""

    def sent(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        return rank * max(sum(layer.inputs for layer in layers), sum(layer.outputs for layer in layers))


class ExactLoraAdapter(LoraAdapter):
    """A and B of every layer, dense, beside what their mean leaves out of the mean update."""

    def kept(self, layers: Sequence[LayerSpec]) -> int:
        return sum(layer.inputs * layer.outputs for layer in layers)


class CoreAdapter(AdapterKind):
    """The r x r core of every layer, between a fixed A and a fixed B."""

    name = "core"

    def count(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        return rank * rank * len(layers)


class FullWeights(AdapterKind):
    """Every weight of the model."""

    name = "full"
    frozen_base = False

    def count(self, layers: Sequence[LayerSpec], rank: int, density: float, parameters: int) -> int:
        return parameters


class MaskPolicy:
    """Masks by calibration: the positions with the largest first-order effect on a device's own rows.

    Args:
        negotiable: use the masks that the groups of a cluster negotiated, if they did: for methods that add the
            expansions of several groups, which suffer from collisions.

    Attributes:
        name: of the masks, among all that a device has found.
        selects: whether only some positions are trained.
        budgeted: whether the number of positions of each layer is that of the calibrated masks.
        common: whether the mask also has positions of an expert that all groups train (method section 6).
    """

    name = "calibrated"
    selects = True
    budgeted = True
    common = False

    def __init__(self, negotiable: bool = False) -> None:
        self.negotiable = negotiable

    def own(self, paper: PaperConfig) -> bool:
        """Return whether :meth:`search` finds masks of this policy's own, instead of the calibrated ones."""
        return False

    def trains(self, paper: PaperConfig) -> bool:
        """Return whether it trains every position of B before the first round."""
        return False

    def of(self, own: Announcement) -> Masks:
        """Return the masks of a device that has completed its preparation; empty if it has none of this policy."""
        if self.negotiable and NEGOTIATED in own.others:
            return own.others[NEGOTIATED]
        return own.masks

    def own_columns(self, adapter: AdapterConfig) -> int:
        """Return how many columns of B belong to the device's group alone: only there masks can collide."""
        return adapter.rank

    def own_part(self, masks: Masks, adapter: AdapterConfig) -> Masks:
        """Return the part of ``masks`` in these columns, as positions row * columns + column."""
        return masks

    def search(self, host: Preparation) -> list[Masks] | None:
        """Return the masks of each of the host's devices; None if calibration, which all methods share, finds them.

        Args:
            host: does the calibration and the training that the search needs.
        """
        return None


class CommonMasks(MaskPolicy):
    """Calibrated masks, chosen separately among a group's own columns and among those that all have in common."""

    name = "common"
    common = True

    def of(self, own: Announcement) -> Masks:
        return own.others.get(self.name, ())

    def own_columns(self, adapter: AdapterConfig) -> int:
        return adapter.rank - adapter.common_rows

    def own_part(self, masks: Masks, adapter: AdapterConfig) -> Masks:
        return tuple(parted(mask, adapter.rank, adapter.common_rows)[0] for mask in masks)


class EveryPosition(MaskPolicy):
    """No masks: every position is trained."""

    name = ""
    selects = False


@dataclass(frozen=True)
class Sharing:
    """What a device sends in a round: its own update and possibly others'.

    Attributes:
        sends: whether a device sends anything.
        relays: whether it relays the updates of others.
        holds: whether it still holds others' updates in the next round, so that differences to them can be decoded.
    """

    sends: bool = True
    relays: bool = False
    holds: bool = True


@dataclass(frozen=True)
class Routing:
    """How prompts find experts; by default there is nothing to route.

    Attributes:
        statistics: whether devices announce task statistics, from which routers are fitted.
        codes: whether they announce the task codes of eq. 26.
        oracle: whether an answer needs the true task of each prompt.
    """

    statistics: bool = False
    codes: bool = False
    oracle: bool = False

    def names(self, router: RouterConfig, paper: PaperConfig) -> tuple[str, ...]:
        """Return the names of the routers that a method is scored with, its own first; empty if it needs none."""
        if self.statistics:
            return router.names
        return tuple(dict.fromkeys((paper.reading, *paper.also))) if self.codes else ()


SPARSE, LORA, CORE, FULL = SparseAdapter(), LoraAdapter(), CoreAdapter(), FullWeights()
FACTORS, EXACT_LORA = FactorAdapter(), ExactLoraAdapter()
CALIBRATED, NEGOTIABLE, EVERY_POSITION = MaskPolicy(), MaskPolicy(negotiable=True), EveryPosition()
WITH_COMMON = CommonMasks()
NOTHING_SENT = Sharing(sends=False)
UNROUTED, BY_STATISTICS = Routing(), Routing(statistics=True)
BY_CODES, ORACLE = Routing(codes=True), Routing(oracle=True)
