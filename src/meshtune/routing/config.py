"""The router's settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from meshtune.errors import UserError, check_name
from meshtune.routing.registry import EMBEDDING, ROUTERS
from meshtune.settings import Count, Settings, Temperature, Within


def check_router(name: str) -> str:
    """Return ``name`` if it is the name of a router.

    Raises:
        UserError: it is not; the message names the nearest, or all of them.
    """
    return check_name("router", name, ROUTERS)


def _known(name: str) -> str:
    try:
        return check_router(name)
    except UserError as error:
        raise ValueError(str(error)) from error


Kind = Annotated[str, AfterValidator(_known)]


class RouterConfig(Settings):
    """How prompts are routed to experts.

    Attributes:
        kind: the router of ``proposed``: ``whitened`` (soft), ``top1``, ``cosine``, ``arrow`` or ``spectr`` (token by
            token inside the layers), ``lorauter`` (the most similar tasks) or ``retrieval`` (the nearest mean of
            embeddings).
        also: further routers scored in addition, as ``proposed:<router>``.
        depth: share of the blocks that process the prompt before the router reads it.
        prompts: training prompts used for a device's statistics.
        sketch: number of eigenvectors in the covariance sketch that is sent.
        shrinkage: share of the diagonal in S'.
        temperature: T of the gates' softmax.
        arrow_top_k: experts per token and layer in ``arrow`` and ``spectr``; all if there are fewer.
        arrow_temperature: T of their softmax.
        lorauter_top_k: experts per prompt in ``lorauter``; all if there are fewer.
        lorauter_temperature: T of its softmax over similarities.
        abstain: what happens to a prompt that resembles no known task: ``never``, nothing; ``hard``, the frozen model
            answers; ``share``, the frozen model gets a share that grows with the distance.
        false_refusals: the largest share of a known task's prompts that may count as unknown.
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
    lorauter_top_k: Count = 3
    lorauter_temperature: Temperature = 0.2
    abstain: Literal["never", "hard", "share"] = "never"
    false_refusals: float = Field(0.05, gt=0, lt=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The routers to score; the first one is ``kind``."""
        return tuple(dict.fromkeys((self.kind, *self.also)))

    @property
    def embeds(self) -> bool:
        """Whether some router uses the prompts' embeddings."""
        return not EMBEDDING.isdisjoint(self.names)

    def check_announced(self, name: str) -> None:
        """Check that router ``name`` can route to devices that announced themselves under these settings.

        Raises:
            UserError: it needs embeddings, and they announced none.
        """
        if name in EMBEDDING and not self.embeds:
            raise UserError(
                f"the router {name} needs embeddings, and the devices of this run announced none: start a new run "
                f"with router.also=[{','.join(self.also)}{',' if self.also else ''}{name}]"
            )
