"""Settings of single methods. No heavy imports, so that help texts are fast."""

from __future__ import annotations

from typing import Annotated, Literal

from meshtune.settings import Count, Settings, Within

Reading = Literal["scalar", "diag", "outer", "plain", "unrouted"]


class PaperConfig(Settings):
    """The paper's own method (eq. 16, 18, 24, 26): what devices train after, where, and how they answer a prompt.

    Attributes:
        projection: ``device``: an A of its own per device (eq. 16); ``group``: one per task group, as other methods.
        masks: ``trained_signed``: the largest values of B after a few mini-batches, as eq. 18 is printed; ``trained``:
            the largest magnitudes; ``calibrated``: the largest gradients at B = 0, as other methods.
        mask_steps: the mini-batches, one optimiser step each, after which a trained B is ranked.
        reading: how eq. 26 is read: ``scalar`` (A x cos(h, x)), ``diag`` (A diag(h) x), ``outer`` (A h h^T x) or
            ``plain`` (A x), each with the top-k; ``unrouted`` is A x without it.
        also: further readings scored in addition, as ``paper:<reading>``.
        top_k: coordinates that each token keeps, over all devices together; None for the rank.
    """

    projection: Literal["device", "group"] = "device"
    masks: Literal["trained_signed", "trained", "calibrated"] = "trained_signed"
    mask_steps: Annotated[int, Within(1, 10_000)] = 8
    reading: Reading = "scalar"
    also: tuple[Reading, ...] = ()
    top_k: Count | None = None
