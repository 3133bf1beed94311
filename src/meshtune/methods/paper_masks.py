"""The paper's own masks and projections (eq. 16, 18): an A of its own per device, and a mask found after that A.

``trained_signed`` trains a dense B for a few mini-batches and keeps the largest of its values, as eq. 18 is printed;
``trained`` the largest magnitudes; ``calibrated`` the largest gradients at B = 0, as all other methods do. Every layer
keeps as many positions as its budget says. Trained values are discarded: B restarts from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.mask import top_positions
from meshtune.adapter.projection import MOST, Recipe
from meshtune.adapter.sites import sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.policies import MaskPolicy
from meshtune.methods.preparation import Preparation
from meshtune.methods.state import NEGOTIATED, Announcement, Masks

RATED = "paper"
"""The method at whose learning rate B is trained for its mask, whichever of the paper's methods asks."""


def recipe_of(paper: PaperConfig, group: Recipe, device: int) -> Recipe:
    """Return the recipe of a device's A: with one per device block ``device``, else that of its ``group``.

    Ids may be as large as 2^63, Gaussian blocks only as :data:`~meshtune.adapter.projection.MOST`, so these wrap
    around.
    """
    if paper.projection == "group":
        return group
    return replace(group, block=device % (MOST + 1) if group.kind == "gaussian" else device)


class PaperMasks(MaskPolicy):
    """Masks as ``paper.masks`` and ``paper.projection`` say; calibrated ones, shared with all, if neither differs."""

    name = "paper"

    def own(self, paper: PaperConfig) -> bool:
        return paper.projection == "device" or self.trains(paper)

    def trains(self, paper: PaperConfig) -> bool:
        return paper.masks != "calibrated"

    def of(self, own: Announcement) -> Masks:
        if self.negotiable and NEGOTIATED in own.others:
            return own.others[NEGOTIATED]
        return own.others.get(self.name, own.masks)

    def search(self, host: Preparation) -> list[Masks] | None:
        if not self.own(host.paper):
            return None
        pairs = zip(host.projections, host.devices, strict=True)
        behind = [group.under(recipe_of(host.paper, group.recipe, device)) for group, device in pairs]
        scores = self._trained(host, behind) if self.trains(host.paper) else host.calibrate(behind)
        return [
            tuple(top_positions(score, count) for score, count in zip(each, counts, strict=True))
            for each, counts in zip(scores, host.counts, strict=True)
        ]

    def _trained(self, host: Preparation, behind: Sequence[Projections]) -> list[list[NDArray[np.floating[Any]]]]:
        """Return per device and layer the values of B (d r,) after a few mini-batches, or their magnitudes."""
        room = sizes(host.layers, host.adapter.rank)
        everywhere = [np.arange(size) for size in room]
        dense = [SparseExpert(host.layers, a, everywhere, host.adapter.scale) for a in behind]
        trained = host.train(dense, RATED, host.paper.mask_steps)
        values = [expert.values.detach().cpu().numpy() for expert in trained]
        ranked = values if host.paper.masks == "trained_signed" else [np.abs(one) for one in values]
        return [np.split(one, np.cumsum(room)[:-1]) for one in ranked]
