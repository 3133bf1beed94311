"""``lori``: frozen A and a mask from a whole dense run, merged without a router (LoRI, Zhang et al. 2025).

Each device first trains a dense B for as many steps as the run has and keeps the tenth of all positions with the
largest |B|, one threshold over all layers; then B restarts from 0 on that mask. Both trainings are charged. Devices of
one task average. The merged update is sum_g w_g B_g A_g with weights by rows, which is exact because A is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.mask import part, top_positions
from meshtune.adapter.sites import sizes
from meshtune.methods.base import Answer, Prompts
from meshtune.methods.config import PaperConfig
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import MaskPolicy
from meshtune.methods.preparation import Preparation
from meshtune.methods.state import Announcement, Masks, Member


class MagnitudeMasks(MaskPolicy):
    """The positions of the largest |B| after a dense run with the device's own A; its values are discarded.

    Args:
        name: of the masks.
        by_layer: whether every layer keeps the same share of its positions, instead of one threshold over all.
    """

    budgeted = False

    def __init__(self, name: str, by_layer: bool) -> None:
        super().__init__()
        self.name, self._by_layer = name, by_layer

    def own(self, paper: PaperConfig) -> bool:
        return True

    def trains(self, paper: PaperConfig) -> bool:
        return True

    def of(self, own: Announcement) -> Masks:
        return own.others.get(self.name, ())

    def search(self, host: Preparation) -> list[Masks]:
        counts = sizes(host.layers, host.adapter.rank)
        everywhere = [np.arange(size) for size in counts]
        dense = [SparseExpert(host.layers, each, everywhere, host.adapter.scale) for each in host.projections]
        found = [expert.values.detach().cpu().numpy() for expert in host.train(dense, "lori")]
        return [self.kept(values, counts, share) for values, share in zip(found, host.densities, strict=True)]

    def kept(self, values: NDArray[np.float32], counts: Sequence[int], density: float) -> Masks:
        """Return the mask of one dense B (sum of counts,), all layers concatenated; ``counts`` is d r of each."""
        size = np.abs(values)
        if not self._by_layer:
            return tuple(part(top_positions(size, round(density * size.size)), counts))
        layers = np.split(size, np.cumsum(counts)[:-1])
        return tuple(top_positions(layer, round(density * layer.size)) for layer in layers)


class Lori(BankMethod):
    """Sparse experts by magnitude, merged by weight."""

    name = "lori"
    masks = MagnitudeMasks("lori", by_layer=False)

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        bank = self.bank(member, factory)
        rows = [sum(member.known[d].samples for d in member.holders(group)) for group in bank]
        weights = np.asarray(rows, dtype=np.float64) / sum(rows)
        return Answer(tuple(bank.values()), np.tile(weights, (len(prompts.groups), 1)))


METHOD = Lori()
