"""The adapter's settings: rank, projections, density and how the budget is spread over layers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from meshtune.errors import UserError
from meshtune.settings import Settings, Temperature, Within

MOST_RANK = 65_535
"""Rows of A: as many as the count of an output row is announced in."""
LEAST_SHARE = 1e-9
"""The lowest density: less than one position of any model."""


class _Share:
    """How a density is validated: a number in (0, 1], or the word."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.float_schema(ge=LEAST_SHARE, le=1)
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(self._check, number, serialization=as_it_is)

    @staticmethod
    def _check(value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
        if value == "planned":
            return value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise ValueError("give a share of B's positions, a number in (0, 1], or planned") from None
        return handler(value)


Share = Annotated[float | Literal["planned"], _Share()]
"""A share of B's positions, or ``planned``."""


class AdapterConfig(Settings):
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

    rank: Annotated[int, Within(1, MOST_RANK)] = 16
    alpha: Annotated[float, Within(1e-6, 1e6)] = 32.0
    projection: Literal["orthogonal", "gaussian"] = "orthogonal"
    per_layer: bool = False
    density: Share = 0.1
    budget: Literal["entropy", "uniform", "size_weighted"] = "entropy"
    temperature: Temperature = 1.0
    entropy_tokens: Annotated[int, Within(2, 10**7)] = 256
    calibration_batches: Annotated[int, Within(1, 10_000)] = 4

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
