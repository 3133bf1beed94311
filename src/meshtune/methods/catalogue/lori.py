"""``lori``: frozen A and a mask from a whole dense run, merged without a router (LoRI, Zhang et al. 2025).

Each device first trains a dense B for as many steps as the run has and keeps the tenth of all positions with the
largest |B|, one threshold over all layers; then B starts again from 0 on that mask. Both trainings are charged. Devices
of one task average; the merged update is sum_g w_g B_g A_g with weights by rows, which is exact, since A is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.methods.bank import BankMethod
from meshtune.methods.base import Answer
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class Lori(BankMethod):
    """Sparse experts by magnitude, merged by weight."""

    name = "lori"
    kind = "sparse"
    masks = "lori"

    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        factory: ExpertFactory,
    ) -> Answer:
        bank = self.bank(member, factory)
        rows = [sum(member.known[d].samples for d in member.holders(group)) for group in bank]
        weights = np.asarray(rows, dtype=np.float64) / sum(rows)
        return Answer(tuple(bank.values()), np.tile(weights, (len(groups), 1)))


METHOD = Lori()
