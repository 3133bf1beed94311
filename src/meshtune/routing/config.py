"""The router's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RouterConfig(BaseModel):
    """Who answers.

    Attributes:
        kind: the router of ``proposed``: ``whitened`` (soft), ``top1`` or ``cosine``.
        also: further routers scored beside it, as ``proposed:<router>``.
        depth: share of the blocks behind which the prompt is looked at.
        prompts: training prompts behind a device's statistics.
        sketch: eigenvectors of the covariance sketch that is sent.
        shrinkage: share of the diagonal in S'.
        temperature: T of the gates' softmax.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["whitened", "top1", "cosine"] = "whitened"
    also: tuple[Literal["whitened", "top1", "cosine"], ...] = ("top1",)
    depth: float = Field(0.3, ge=0, lt=1)
    prompts: int = Field(256, ge=2)
    sketch: int = Field(16, ge=1)
    shrinkage: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(8.0, gt=0)
