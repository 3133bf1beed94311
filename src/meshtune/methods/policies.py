"""Ready-made policies for methods: what devices train, where masks come from, what is exchanged, how prompts route.

Each policy is an object. A method names the ones it uses, or defines its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.hybrid_expert import common_count, largest_changes
from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.preparation import Preparation
from meshtune.methods.state import NEGOTIATED, Announcement, Masks
from meshtune.routing.config import RouterConfig
from meshtune.wire.payload_sizes import update_bytes


class AdapterKind(ABC):
    """What devices train.

    Attributes:
        name: as used by learning rates and results.
        projected: whether values belong to positions of a mask after projections, which announcements then name.
        frozen_base: whether the base model's own weights stay unchanged.
        beside: the kind whose learning rate a second part of the expert is trained at; empty if there is none.
    """

    name: str
    projected = False
    frozen_base = True
    beside = ""

    @property
    def rates(self) -> tuple[str, ...]:
        """The kinds whose learning rates the expert's parts are trained at, part by part."""
        return (self.name, self.beside) if self.beside else (self.name,)

    @abstractmethod
    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        """Return how many scalars a device trains; ``parameters`` is the number of the model's."""

    def sent(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        """Return how many scalars a device sends in one round at most; by default all that it trains."""
        return self.count(layers, adapter, density, parameters)

    def chosen(self, layers: Sequence[LayerSpec], adapter: AdapterConfig) -> tuple[int, int]:
        """Return of how many of these scalars the positions are sent with them, and among how many they are."""
        return 0, 0

    def update_bytes(
        self, values: int, layers: Sequence[LayerSpec], adapter: AdapterConfig, form: str, block: int
    ) -> int:
        """Return the expected bytes of an update of ``values`` scalars, with the positions that are sent with them.

        ``form`` and ``block`` are how values are coded (:func:`meshtune.wire.payload_sizes.update_bytes`).
        """
        return update_bytes(values, form, block, chosen=self.chosen(layers, adapter))

    def kept(self, layers: Sequence[LayerSpec]) -> int:
        """Return how many scalars a device keeps beside these, neither trained nor sent; by default none."""
        return 0


class SparseAdapter(AdapterKind):
    """B's values at the positions of a mask, after a frozen A."""

    name = "sparse"
    projected = True

    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return sum(layer_counts(None, sizes(layers, adapter.rank), density, "uniform"))


class HybridAdapter(AdapterKind):
    """B's values at the positions of a mask, after a frozen A, beside a smaller A and B, dense, of all devices."""

    name = "sparse"
    projected = True
    beside = "lora"

    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return common_count(layers, adapter.common_rows) + self._own(layers, adapter, density)

    def sent(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return self.chosen(layers, adapter)[0] + self._own(layers, adapter, density)

    def chosen(self, layers: Sequence[LayerSpec], adapter: AdapterConfig) -> tuple[int, int]:
        among = common_count(layers, adapter.common_rows)
        return largest_changes(among, adapter.common_density), among

    def _own(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float) -> int:
        return sum(layer_counts(None, sizes(layers, adapter.rank - adapter.common_rows), density, "uniform"))


class LoraAdapter(AdapterKind):
    """A and B of every layer, dense."""

    name = "lora"

    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return adapter.rank * sum(layer.inputs + layer.outputs for layer in layers)


class FactorAdapter(LoraAdapter):
    """A and B of every layer, dense, trained and sent in turn."""

    def sent(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return adapter.rank * max(sum(layer.inputs for layer in layers), sum(layer.outputs for layer in layers))


class ExactLoraAdapter(LoraAdapter):
    """A and B of every layer, dense, beside what their mean leaves out of the mean update."""

    def kept(self, layers: Sequence[LayerSpec]) -> int:
        return sum(layer.inputs * layer.outputs for layer in layers)


class CoreAdapter(AdapterKind):
    """The r x r core of every layer, between a fixed A and a fixed B."""

    name = "core"

    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
        return adapter.rank * adapter.rank * len(layers)


class FullWeights(AdapterKind):
    """Every weight of the model."""

    name = "full"
    frozen_base = False

    def count(self, layers: Sequence[LayerSpec], adapter: AdapterConfig, density: float, parameters: int) -> int:
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
        common: whether some of the rank's rows are not the group's own, but of an expert that all groups train.
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

    def columns(self, adapter: AdapterConfig) -> int:
        """Return how many columns of B the masks are over: those of the device's group alone."""
        return adapter.rank

    def search(self, host: Preparation) -> list[Masks] | None:
        """Return the masks of each of the host's devices; None if calibration, which all methods share, finds them.

        Args:
            host: does the calibration and the training that the search needs.
        """
        return None


class BesideCommon(MaskPolicy):
    """Calibrated masks over the columns that a common expert leaves to the group."""

    name = "own"
    common = True

    def of(self, own: Announcement) -> Masks:
        return own.others.get(self.name, ())

    def columns(self, adapter: AdapterConfig) -> int:
        return adapter.rank - adapter.common_rows


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
HYBRID, FACTORS, EXACT_LORA = HybridAdapter(), FactorAdapter(), ExactLoraAdapter()
CALIBRATED, NEGOTIABLE, EVERY_POSITION = MaskPolicy(), MaskPolicy(negotiable=True), EveryPosition()
BESIDE_COMMON = BesideCommon()
NOTHING_SENT = Sharing(sends=False)
UNROUTED, BY_STATISTICS = Routing(), Routing(statistics=True)
BY_CODES, ORACLE = Routing(codes=True), Routing(oracle=True)
