"""Builds experts from announcements, so that equal experts exist only once per process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.core_expert import CoreExpert
from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.hybrid_expert import HybridExpert, fresh_common
from meshtune.adapter.mask import join, vote
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.state import Announcement, Update
from meshtune.routing.routers import Router
from meshtune.wire.content_cache import ContentCache, Made

PAPER = PaperConfig()


class ExpertFactory:
    """Builds experts from announcements; shared by the devices of a process so that equal experts exist only once.

    Args:
        layers: the adapted layers of the base model.
        adapter: rank and scale.
        seed: of LoRA's common initialisation.
        dtype: of the frozen projections.
        device: torch device of the projections.
        weights: returns all weights of the base model (parameters,), for methods that train them.
        paper: settings of the paper's own method.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        adapter: AdapterConfig,
        seed: int,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        weights: Callable[[], Tensor] | None = None,
        paper: PaperConfig = PAPER,
    ) -> None:
        self.layers = layers
        self.adapter, self.paper = adapter, paper
        self.seed = seed
        self._dtype, self._device, self._weights = dtype, device, weights
        self._full: FullExpert | None = None
        self._core: CoreExpert | None = None
        self._hybrid: dict[bytes, HybridExpert] = {}
        self._projections: dict[Recipe, Projections] = {}
        self._fresh: dict[tuple[object, ...], SparseExpert] = {}
        self._cache = ContentCache()
        self._positions: dict[str, Tensor] = {}
        self.routers: dict[tuple[object, ...], Router] = {}

    def projections(self, recipe: Recipe) -> Projections:
        """Return the A of ``recipe``, built once."""
        if recipe not in self._projections:
            self._projections[recipe] = Projections(recipe, self._dtype, self._device)
        return self._projections[recipe]

    def lora(self) -> LoraExpert:
        """Return a fresh LoRA expert, the same on every device, so that averages are meaningful."""
        return LoraExpert(self.layers, self.adapter.rank, self.adapter.scale, seed=self.seed, device=self._device)

    def core(self) -> CoreExpert:
        """Return a fresh expert of r x r cores, the same on every device; its A and B are made once."""
        if self._core is None:
            self._core = CoreExpert.fresh(
                self.layers, self.adapter.rank, self.adapter.scale, seed=self.seed, device=self._device
            )
        return self._core

    def hybrid(self, own: Expert) -> HybridExpert:
        """Return the expert of ``own``, a fresh sparse one, beside the common part that all devices start from."""
        assert isinstance(own, SparseExpert)
        if own.form not in self._hybrid:
            rows = self.adapter.common_rows
            common = fresh_common(self.layers, rows, self.seed)
            self._hybrid[own.form] = HybridExpert.beside(own, common, rows, self.adapter.common_density)
        return self._hybrid[own.form]

    def full(self) -> FullExpert:
        """Return the base model itself as the trained expert."""
        if self._full is None:
            assert self._weights is not None
            self._full = FullExpert(self.layers, self._weights())
        return self._full

    def alone(self, own: Announcement) -> SparseExpert:
        """Return a fresh sparse expert over the device's own mask, B = 0."""
        return self._voted_expert([own])

    def group_expert(self, members: Sequence[Announcement]) -> SparseExpert:
        """Return a fresh sparse expert over the mask that the group's members vote for, B = 0."""
        return self._voted_expert(members)

    def _voted_expert(self, members: Sequence[Announcement]) -> SparseExpert:
        def masks() -> Sequence[NDArray[np.int64]]:
            if len(members) == 1:
                return members[0].masks
            return vote([(m.device, list(m.masks)) for m in members], sizes(self.layers, members[0].recipe.rank))

        key = tuple((member.device, member.recipe, member.mask_digest) for member in members)
        return self.fresh(key, members[0].recipe, masks)

    def fresh(
        self, key: tuple[object, ...], recipe: Recipe, masks: Callable[[], Sequence[NDArray[np.int64]]]
    ) -> SparseExpert:
        """Return a fresh sparse expert, B = 0, built once in the process.

        Args:
            key: identifies its masks.
            recipe: of its projections.
            masks: returns them.
        """
        if key not in self._fresh:
            self._fresh[key] = SparseExpert(self.layers, self.projections(recipe), masks(), self.adapter.scale)
        return self._fresh[key]

    def mean(self, shape: Expert, updates: Sequence[Update], samples: Mapping[int, int]) -> Expert:
        """Return ``shape`` with sum_j w_j values_j / sum_j w_j over ``updates``, w_j = N_j (eq. 9, normalised once)."""

        def make() -> Expert:
            total = sum(samples[u.source] for u in updates)
            mixed = torch.zeros_like(updates[0].values, dtype=torch.float32)
            for update in updates:
                mixed.add_(update.values.float(), alpha=samples[update.source] / total)
            return shape.with_values(mixed)

        return self.once(("mean", shape.form, *((u.digest, samples[u.source]) for u in updates)), make)

    def positions(self, announced: Announcement) -> Tensor:
        """Return the positions of a device's values in the concatenation of all layers' B (nnz,)."""
        if announced.mask_digest not in self._positions:
            joined = join(announced.masks, sizes(self.layers, announced.recipe.rank))
            self._positions[announced.mask_digest] = torch.from_numpy(joined)
        return self._positions[announced.mask_digest]

    def once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """See :meth:`meshtune.wire.content_cache.ContentCache.once`."""
        return self._cache.once(key, make)

    def release(self) -> None:
        """Free everything cached in past rounds."""
        self._cache.release()
