"""``paper``: the paper's own projections, masks, aggregation and routing (eq. 16, 18, 24, 26, 29).

Devices form clusters. Within one, expansions are averaged position by position, and every cluster's average follows its
own members' projections: y = W0 x + (alpha/r) sum_c Bbar_c sum_{j in c} z_j. Without a radio there is one cluster, and
the method equals ``single_cluster``.
"""

from __future__ import annotations

from meshtune.methods.catalogue.single_cluster import SingleCluster
from meshtune.methods.paper_masks import PaperMasks


class Paper(SingleCluster):
    """Eq. 24 with the mean over all members of a cluster."""

    name = "paper"
    whole = False
    masks = PaperMasks(negotiable=True)


METHOD = Paper()
