"""Settings of single methods. No heavy imports, so that help texts are fast."""

from __future__ import annotations

from typing import Literal

from meshtune.settings import Count, Settings

Reading = Literal["scalar", "diag", "outer", "plain", "unrouted"]


class PaperConfig(Settings):
    """How the paper's own composition (eq. 24) answers a prompt.

    Attributes:
        reading: how eq. 26 is read: ``scalar`` (A x cos(h, x)), ``diag`` (A diag(h) x), ``outer`` (A h h^T x) or
            ``plain`` (A x), each with the top-k; ``unrouted`` is A x without it.
        also: further readings scored in addition, as ``paper:<reading>``.
        top_k: coordinates that each token keeps, over all devices together; None for the rank.
    """

    reading: Reading = "scalar"
    also: tuple[Reading, ...] = ()
    top_k: Count | None = None
