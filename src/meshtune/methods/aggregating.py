"""What variants of the paper's aggregation share (eq. 9, 10, 24): one expansion per cluster, from masked ones.

Before a round a device's B is its own cluster's aggregate restricted to its own mask; the optimiser's state is kept.
Values outside the mask are kept for inference, where every cluster's aggregate follows the projections of its members.
Of other clusters a device holds what the last exchange between clusters delivered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.shared import Source, aggregate
from meshtune.adapter.sites import places, sizes
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import NEGOTIABLE, Sharing
from meshtune.methods.state import Announcement, Member


class AggregatingMethod(Method):
    """Sparse expansions, each over its own mask and projections, averaged position by position.

    Attributes:
        masked: divide a position by the weights of those whose mask uses it (``masked_mean``), not of all (``mean``).
        whole: treat all devices as one cluster, whatever clusters a radio network formed.
    """

    masks = NEGOTIABLE
    sharing = Sharing(relays=True)
    masked = False
    whole = False

    def clusters(self, member: Member) -> list[tuple[int, ...]]:
        """Return the devices whose values it holds, by cluster, ids ascending."""
        found: dict[int | None, list[int]] = {}
        for device in sorted(member.held):
            found.setdefault(None if self.whole else member.clusters.get(device), []).append(device)
        return [tuple(devices) for devices in found.values()]

    def cluster(self, member: Member) -> tuple[int, ...]:
        """Return the members of its own cluster whose values it holds, ids ascending."""
        return next(devices for devices in self.clusters(member) if member.device in devices)

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        return factory.alone(own)

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        whole = self.expansion(member, member.counted(self.cluster(member)), factory)
        own = factory.positions(member.own)
        return member.expert.with_values(whole[own].to(member.expert.values.device))

    def expansion(self, member: Member, devices: Sequence[int], factory: ExpertFactory) -> Tensor:
        """Return Bbar of ``devices``, whose updates it must hold, all layers concatenated (sum of d r,)."""
        updates = [member.held[device] for device in devices]
        known = [member.known[device] for device in devices]
        what = ((u.digest, a.mask_digest, a.samples) for u, a in zip(updates, known, strict=True))

        def make() -> Tensor:
            return aggregate(
                [update.values for update in updates],
                [factory.positions(a) for a in known],
                [float(a.samples) for a in known],
                sum(sizes(factory.layers, factory.adapter.rank)),
                self.masked,
            )

        return factory.once(("expansion", self.masked, *what), make)

    def contents(self, member: Member) -> tuple[object, ...]:
        """Return an identifier of everything it holds, by cluster."""
        return tuple(
            tuple((member.held[device].digest, member.known[device].digest) for device in devices)
            for devices in self.clusters(member)
        )

    def source(self, announced: Announcement, factory: ExpertFactory) -> Source:
        """Return a member's projections and, if announced, its task codes by place."""
        codes: dict[str, Tensor] = {}
        if announced.codes is not None:
            widths = places(factory.layers)
            parts = torch.split(torch.from_numpy(announced.codes), list(widths.values()))
            codes = dict(zip(widths, parts, strict=True))
        return Source(factory.projections(announced.recipe), codes)

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [("every task", tuple(sorted(member.held)))]
