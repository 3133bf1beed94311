"""How much of a model's blocks is adapted, and what is not.

Adapters apply to linear layers. Experts fused into one parameter, convolutions and any other matrices are left
unchanged, and a run reports them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from meshtune.adapter.layer import AdaptedLinear
from meshtune.adapter.sites import LayerSpec

NAMED = 8
"""Maximum number of unadapted matrices to name."""


@dataclass(frozen=True)
class Coverage:
    """What is adapted.

    Attributes:
        share: share of the blocks' weights that is in adapted layers; in [0, 1].
        left_out: matrices of the blocks that are not adapted, by their names within a block, largest first.
    """

    share: float
    left_out: tuple[str, ...]

    def text(self) -> str:
        """Return it as one sentence."""
        told = f"adapts {100 * self.share:.1f}% of the blocks' parameters"
        if not self.left_out:
            return told
        more = len(self.left_out) - NAMED
        named = ", ".join(self.left_out[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{told}; left out: {named}"


def adapted_share(blocks: Iterable[nn.Module], layers: Sequence[LayerSpec]) -> Coverage:
    """Return how much of ``blocks`` is adapted; ``layers`` are their adapted layers.

    Norms and biases, all of them vectors, count as not adapted and are not named.
    """
    adapted = sum(layer.inputs * layer.outputs for layer in layers)
    inside = 0
    left: dict[str, int] = {}
    seen: set[int] = set()
    for block in blocks:
        inner = {id(p) for m in block.modules() if isinstance(m, AdaptedLinear) for p in m.parameters()}
        for name, parameter in block.named_parameters():
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            inside += parameter.numel()
            if parameter.dim() >= 2 and id(parameter) not in inner:
                generic = ".".join("*" if part.isdigit() else part for part in name.split("."))
                generic = generic.removesuffix(".weight")
                left[generic] = left.get(generic, 0) + parameter.numel()
    names = sorted(left, key=lambda name: (-left[name], name))
    return Coverage(min(1.0, adapted / max(1, inside)), tuple(names))
