"""The adapter's settings: rank, projections, density and how the budget is spread over layers."""

from __future__ import annotations

from typing import Annotated, Literal

from meshtune.errors import UserError
from meshtune.settings import Settings, Temperature, Within
from meshtune.worded import Worded

MOST_RANK = 65_535
"""Maximum number of rows of A: the largest count that can be announced for an output row."""
LEAST_SHARE = 1e-9
"""The lowest density: less than one position of any model."""

Share = Annotated[
    float | Literal["planned"],
    Worded("planned", "give a share of B's positions, a number in (0, 1], or planned", ge=LEAST_SHARE, le=1),
]
"""A share of B's positions, or ``planned``."""


class AdapterConfig(Settings):
    """What a device may train.

    Attributes:
        rank: r, rows of A and columns of B.
        alpha: LoRA's scale: dW = (alpha / rank) B A.
        projection: ``orthogonal`` (blocks of one randomised cosine transform) or ``gaussian`` (eq. 16).
        per_layer: one A per layer instead of one per input site.
        density: share of B's positions that is trained, over all layers; in (0, 1]. ``planned``: as much as compute and
            a link allow, with a radio (method sections 4 and 7).
        common: share of the rank's rows that methods with a common expert give to it, (0, 1) (method section 6).
        common_density: share of the common expert's values that a device sends in a round, those that changed most,
            (0, 1]; the rest is sent later.
        personal: weight of its own group's devices in a group's view of the common expert, [0, 1]; the rest is the mean
            over all devices.
        budget: how the density is spread: ``entropy`` (eq. 20 to 22), ``uniform`` or ``size_weighted``.
        temperature: of the softmax over entropies.
        entropy_inputs: the vectors that the entropy is taken over: ``tokens``, or ``averaged``, one mean per prompt, as
            in eq. 20.
        entropy_tokens: n, prompt tokens used for the spectral entropy; with ``averaged`` the most prompts.
        calibration_batches: mini-batches used to calibrate the mask.
    """

    rank: Annotated[int, Within(1, MOST_RANK)] = 16
    alpha: Annotated[float, Within(1e-6, 1e6)] = 32.0
    projection: Literal["orthogonal", "gaussian"] = "orthogonal"
    per_layer: bool = False
    density: Share = 0.1
    common: Annotated[float, Within(0.01, 0.99)] = 0.5
    common_density: Annotated[float, Within(1e-3, 1.0)] = 0.1
    personal: Annotated[float, Within(0.0, 1.0)] = 0.3
    budget: Literal["entropy", "uniform", "size_weighted"] = "entropy"
    temperature: Temperature = 1.0
    entropy_inputs: Literal["tokens", "averaged"] = "tokens"
    entropy_tokens: Annotated[int, Within(2, 10**7)] = 256
    calibration_batches: Annotated[int, Within(1, 10_000)] = 4

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    @property
    def common_rows(self) -> int:
        """Number of rows of A that belong to the common expert, at least one and at most all but one.

        Raises:
            UserError: the rank is 1.
        """
        if self.rank == 1:
            raise UserError("adapter.rank=1 leaves no row for a common expert beside the own one: set it to 2 or more")
        return min(self.rank - 1, max(1, round(self.common * self.rank)))

    @property
    def share(self) -> float:
        """``density`` as a number.

        Raises:
            UserError: it is still to be planned, which needs devices and their radio.
        """
        if self.density == "planned":
            raise UserError("adapter.density=planned needs devices and their radio: give a number here")
        return self.density
