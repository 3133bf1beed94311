"""``ffa``: LoRA with one frozen A for all devices, B trained and averaged (FFA-LoRA, Sun et al. 2024).

With a shared A the mean of the B's is exactly the mean of the updates, unlike averaging A and B separately. Half of
LoRA's values are sent.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meshtune.adapter.expert import Expert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.methods.catalogue.lora import Lora
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import EVERY_POSITION, SPARSE
from meshtune.methods.state import Announcement


class Ffa(Lora):
    """Federated averaging of a dense B after one frozen A."""

    name = "ffa"
    kind = SPARSE
    masks = EVERY_POSITION

    def announces(self, own: Announcement, factory: ExpertFactory) -> Announcement:
        r = own.recipe
        everywhere = tuple(np.arange(size) for size in sizes(factory.layers, r.rank))
        return replace(own, recipe=Recipe(r.seed, r.kind, 0, r.rank, r.generator), masks=everywhere)

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        return factory.alone(own)


METHOD = Ffa()
