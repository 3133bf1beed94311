"""The adapter's settings: rank, projections, density and how the budget is spread over layers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AdapterConfig(BaseModel):
    """What a device may train.

    Attributes:
        rank: r, rows of A and columns of B.
        alpha: LoRA's scale: dW = (alpha / rank) B A.
        projection: ``orthogonal`` (blocks of one randomised cosine transform) or ``gaussian`` (eq. 16).
        per_layer: one A per layer instead of one per input site.
        density: share of B's positions that is trained, over all layers; in (0, 1].
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
    density: float = Field(0.1, gt=0, le=1)
    budget: Literal["entropy", "uniform", "size_weighted"] = "entropy"
    temperature: float = Field(1.0, gt=0)
    entropy_tokens: int = Field(256, ge=2)
    calibration_batches: int = Field(4, ge=1)

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank
