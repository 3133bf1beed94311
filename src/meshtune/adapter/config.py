"""The adapter's settings: rank, projections, density and how the budget is spread over layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from meshtune.errors import UserError
from meshtune.worded import Worded

Share = Annotated[
    float | Literal["planned"],
    Worded("planned", "give a share of B's positions, a number in (0, 1], or planned", gt=0, le=1),
]
"""A share of B's positions, or ``planned``."""


class AdapterConfig(BaseModel):
    """What a device may train.

    Attributes:
        rank: r, rows of A and columns of B.
        alpha: LoRA's scale: dW = (alpha / rank) B A.
        projection: ``orthogonal`` (blocks of one randomised cosine transform) or ``gaussian`` (eq. 16).
        per_layer: one A per layer instead of one per input site.
        density: share of B's positions that is trained, over all layers; in (0, 1]. ``planned``: what computing and a
            link allow, where there is a radio (method sections 4 and 7).
        budget: how the density is spread: ``entropy`` (eq. 20 to 22), ``uniform`` or ``size_weighted``.
        temperature: of the softmax over entropies.
        entropy_tokens: n, prompt tokens behind the spectral entropy.
        calibration_batches: mini-batches behind the mask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    projection: Literal["orthogonal", "gaussian"] = "orthogonal"
    per_layer: bool = False
    density: Share = 0.1
    budget: Literal["entropy", "uniform", "size_weighted"] = "entropy"
    temperature: float = Field(1.0, gt=0)
    entropy_tokens: int = Field(256, ge=2)
    calibration_batches: int = Field(4, ge=1)

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    @property
    def share(self) -> float:
        """``density`` as a number.

        Raises:
            UserError: it has yet to be planned, for which devices and their radio are needed.
        """
        if self.density == "planned":
            raise UserError("adapter.density=planned is worked out for devices and their radio: give a number here")
        return self.density
