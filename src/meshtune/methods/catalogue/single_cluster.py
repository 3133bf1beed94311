"""``single_cluster``: the paper's method with all devices in one cluster, regardless of mask collisions.

y = W0 x + (alpha/r) Bbar sum_j z_j (eq. 24), where z_j is A_j x refined by device j's task code and cut to its largest
coordinates (eq. 26). Every device has an A of its own (eq. 16) and a mask found after it, unless ``paper.projection``
and ``paper.masks`` say otherwise.
"""

from __future__ import annotations

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.shared import Shared
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.base import Answer, Prompts
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.paper_masks import PaperMasks, recipe_of
from meshtune.methods.policies import BY_CODES
from meshtune.methods.state import Announcement, Member
from meshtune.routing.routers import Reader


class SingleCluster(AggregatingMethod):
    """Eq. 24 and 26 over one cluster."""

    name = "single_cluster"
    routing = BY_CODES
    whole = True
    masks = PaperMasks()  # not negotiable: by definition it ignores collisions

    def recipe(self, own: Announcement, adapter: AdapterConfig, paper: PaperConfig) -> Recipe:
        return recipe_of(paper, own.recipe, own.device)

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        router = prompts.fitted()
        assert isinstance(router, Reader)
        key = ("shared", self.masked, router.reading, router.top_k, *self.contents(member))
        bank = factory.once(key, lambda: self._bank(member, router, factory))
        return Answer((None,), np.ones((len(prompts.groups), 1)), bank)

    def _bank(self, member: Member, router: Reader, factory: ExpertFactory) -> Shared:
        unrouted = router.reading == "unrouted"
        clusters = self.clusters(member)
        return Shared(
            factory.layers,
            [self.source(member.known[device], factory) for devices in clusters for device in devices],
            torch.stack([self.expansion(member, devices, factory) for devices in clusters]),
            factory.adapter.scale,
            "plain" if unrouted else router.reading,
            None if unrouted else router.top_k or factory.adapter.rank,
            cluster=[number for number, devices in enumerate(clusters) for _ in devices],
        )


METHOD = SingleCluster()
