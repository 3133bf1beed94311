"""The router's settings."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from meshtune.errors import UserError, check_name
from meshtune.settings import Count, Settings, Temperature, Within

Kind = Literal["whitened", "top1", "cosine", "arrow", "retrieval"]


def check_router(name: str) -> str:
    """Return ``name``, if a router is called so.

    Raises:
        UserError: none is; names the nearest, or all of them.
    """
    return check_name("router", name, get_args(Kind))


class RouterConfig(Settings):
    """Who answers.

    Attributes:
        kind: the router of ``proposed``: ``whitened`` (soft), ``top1``, ``cosine``, ``arrow`` (token by token inside
            the layers) or ``retrieval`` (the nearest mean of embeddings).
        also: further routers scored beside it, as ``proposed:<router>``.
        depth: share of the blocks behind which the prompt is looked at.
        prompts: training prompts behind a device's statistics.
        sketch: eigenvectors of the covariance sketch that is sent.
        shrinkage: share of the diagonal in S'.
        temperature: T of the gates' softmax.
        arrow_top_k: experts that ``arrow`` lets each token have in each layer; all where there are fewer.
        arrow_temperature: T of its softmax.
    """

    kind: Kind = "whitened"
    also: tuple[Kind, ...] = ("top1",)
    depth: float = Field(0.3, ge=0, lt=1)
    prompts: Annotated[int, Within(2, 10**7)] = 256
    sketch: Annotated[int, Within(1, 100_000)] = 16
    shrinkage: float = Field(0.5, ge=0, le=1)
    temperature: Temperature = 8.0
    arrow_top_k: Count = 3
    arrow_temperature: Temperature = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The routers that are scored, the first of them the router itself."""
        return tuple(dict.fromkeys((self.kind, *self.also)))

    @property
    def embeds(self) -> bool:
        """Whether some router looks at the prompts' embeddings."""
        return "retrieval" in self.names

    def check_announced(self, name: str) -> None:
        """Make sure that devices which announced themselves under these settings can be routed to by router ``name``.

        Raises:
            UserError: it needs embeddings, and they announced none.
        """
        if name == "retrieval" and not self.embeds:
            raise UserError(
                "the router retrieval needs embeddings, and the devices of this run announced none: start a new run "
                f"with router.also=[{','.join(self.also)}{',' if self.also else ''}retrieval]"
            )
