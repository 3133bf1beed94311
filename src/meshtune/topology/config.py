"""Settings of clusters and graphs. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshtune.settings import Count, Settings, Within

TieBreak = Literal["energy", "none"]


class ClusterConfig(Settings):
    """Who fine-tunes with whom if there is a radio.

    Attributes:
        kind: ``agnes``: the paper's agglomerative clustering; ``single``: all devices, regardless of collisions.
        s_max: S_max, the highest collision rate of a cluster.
        rate: ``rows``: expected from each output row's counts; ``expected``: from each layer's density, as in the
            paper.
        tie_break: ``energy``: of pairs with rates in one step of 1/1000, that of the least energy merges first;
            ``none``: the lowest rate alone decides, as in the paper.
        most: maximum number of devices in a cluster; None for no bound.
        inner_rounds: T_inner: rounds within clusters between two exchanges between clusters.
        masks: ``own``: as each device calibrated them; ``negotiated``: for methods that add expansions, claimed in turn
            by the groups of a cluster, so that those of different groups do not collide.
        reform: rounds between reclusterings of moving devices; None for ``inner_rounds``.
    """

    kind: Literal["agnes", "single"] = "agnes"
    s_max: float = Field(0.1, ge=1e-9, le=1)
    rate: Literal["rows", "expected"] = "rows"
    tie_break: TieBreak = "energy"
    most: Count | None = None
    inner_rounds: Count = 2
    masks: Literal["own", "negotiated"] = "own"
    reform: Count | None = None

    @property
    def reformed(self) -> int:
        """``reform`` as a number."""
        return self.reform or self.inner_rounds


class GraphConfig(Settings):
    """Who hears whom: over free links, or in the one cluster of ``clusters.kind=single``.

    Attributes:
        kind: ``full``; ``ring``; ``random`` (every device links to ``neighbours`` others, in both directions);
            ``exponential`` (to those 1, 2, 4, 8 ... places on); ``geometric`` (to those within ``radius``), with a
            radio.
        neighbours: links that each device draws in a random graph.
        radius: in metres, of a geometric graph.
        relay: relay received updates, so that experts cross a graph that is not full.
    """

    kind: Literal["full", "ring", "random", "exponential", "geometric"] = "full"
    neighbours: Count = 3
    radius: Annotated[float, Within(1e-3, 1e8, "m")] | None = None
    relay: bool = True

    @model_validator(mode="after")
    def _radius_and_kind(self) -> GraphConfig:
        if self.kind == "geometric" and self.radius is None:
            raise ValueError("graph.kind=geometric links devices within a radius: set graph.radius in metres")
        if self.kind != "geometric" and self.radius is not None:
            raise ValueError(
                f"graph.radius={self.radius:g} is not read by graph.kind={self.kind}: set graph.kind=geometric, or "
                "leave it out"
            )
        return self
