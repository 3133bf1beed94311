"""The history of a batch of rows, for decoding token by token.

It is kept as keys and values (each token is computed once) or, for a model whose cache does not work, as the tokens
alone (everything is recomputed). Loading a model decides which of the two it gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from meshtune.adapter.route import Route
from meshtune.model.base import Base
from meshtune.model.encoding import pad
from meshtune.model.packing import Packed


class Past(Protocol):
    """Rows that grow at their ends and may leave."""

    def read(self, more: Sequence[Sequence[int]], route: Route | None) -> Tensor:
        """Append ``more`` tokens to each row; return the last hidden states (rows, width) after them."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Continue with the rows at these places, in this order; a row named twice continues as two."""
        ...


class Cached:
    """Keys and values of every token; prompts of different lengths are padded on the left."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._cache = base.fresh_cache()
        self._lengths: Tensor | None = None
        self._real: Tensor | None = None

    def read(self, more: Sequence[Sequence[int]], route: Route | None) -> Tensor:
        base = self._base
        tokens = pad(more, base.device, left=True)
        new = torch.tensor([len(row) for row in more], device=base.device)
        before = torch.zeros_like(new) if self._lengths is None else self._lengths
        self._lengths = before + new
        mine = torch.arange(tokens.shape[1], device=base.device) - (tokens.shape[1] - new)[:, None]
        if self._real is not None or int(new.min()) < tokens.shape[1]:
            earlier = torch.ones(len(new), int(before.max()), dtype=torch.bool, device=base.device)  # none was padding
            self._real = torch.cat([earlier if self._real is None else self._real, mine >= 0], dim=1)
        positions = None if self._real is None else before[:, None] + mine.clamp(min=0)
        with torch.no_grad(), base.adapters.routed(route):
            return base.extend(tokens, self._cache, positions, self._real)[:, -1]

    def keep(self, places: Sequence[int]) -> None:
        chosen = torch.tensor(places, device=self._base.device)
        self._cache.batch_select_indices(chosen)
        self._lengths = None if self._lengths is None else self._lengths[chosen]
        self._real = None if self._real is None else self._real[chosen]


class Plain:
    """Only the tokens."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._rows: list[tuple[int, ...]] | None = None

    def read(self, more: Sequence[Sequence[int]], route: Route | None) -> Tensor:
        before = [()] * len(more) if self._rows is None else self._rows
        self._rows = [(*old, *new) for old, new in zip(before, more, strict=True)]
        with torch.no_grad(), self._base.adapters.routed(route):
            packed = Packed(self._rows, self._base.device)
            return self._base.read(packed)[[start - 1 for start in packed.starts[1:]]]

    def keep(self, places: Sequence[int]) -> None:
        assert self._rows is not None
        self._rows = [self._rows[place] for place in places]


def begin(base: Base) -> Past:
    """Return the empty history of a new batch."""
    return Cached(base) if base.caches else Plain(base)
