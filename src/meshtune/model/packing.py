"""Rows of different lengths packed end to end: one stream of tokens without padding, in which no row sees another.

Token-wise operations (linear layers, norms, activations) do not depend on row boundaries. Attention does: its rows are
gathered into groups of similar length, attended group by group, and scattered back. It hooks into a transformers model
through that library's attention interface, in front of its scaled-dot-product attention.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from meshtune.model.encoding import pad

NAME = "meshtune"
LIKE = 0.8
"""Rows of one group have at least this share of the longest row's tokens."""


class Packed:
    """One stream of rows.

    Args:
        rows: the tokens of every row.
        device: where the tensors live.
        positions: position of every token of every row, unless they simply count up.
        parts: by row and token, the part of the row that the token belongs to; a token sees earlier tokens of its own
            part and of part 0. Without parts, it sees all earlier ones.

    Attributes:
        rows: their tokens.
        lengths: tokens of every row.
        starts: the start of every row in the stream.
        tokens: the stream (tokens,).
        positions: (tokens,).
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        device: torch.device,
        positions: Sequence[Sequence[int]] | None = None,
        parts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.lengths = [len(row) for row in rows]
        self.starts = [0]
        for length in self.lengths:
            self.starts.append(self.starts[-1] + length)
        self.rows = rows
        self._parts = parts
        self._counted = positions is None
        self._where = [range(n) for n in self.lengths] if positions is None else positions
        self.device = device
        self.tokens = torch.tensor([token for row in rows for token in row], device=device)
        self.positions = torch.tensor([at for row in self._where for at in row], device=device)
        self._masks: dict[tuple[int, int], Tensor | None] = {}

    def padded(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the rows as a rectangle: tokens (rows, longest), plus positions and mask unless purely causal."""
        tokens = pad(self.rows, self.device)
        if self._counted and self._parts is None:
            return tokens, None, None
        group = list(range(len(self.lengths)))
        return tokens, pad(self._where, self.device), self._seen(group, max(self.lengths), None)

    def of_padded(self, found: Tensor) -> Tensor:
        """Return the stream (tokens, width) of a rectangle (rows, longest, width)."""
        return torch.cat([row[:length] for row, length in zip(found, self.lengths, strict=True)])

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Groups of rows of similar length, longest first."""
        groups: list[list[int]] = []
        for row in sorted(range(len(self.lengths)), key=lambda row: (-self.lengths[row], row)):
            if groups and self.lengths[row] >= LIKE * self.lengths[groups[-1][0]]:
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    @cached_property
    def _maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source indices of the groups' rectangles, target indices of the stream's tokens, and the padding."""
        source: list[int] = []
        padding: list[int] = []
        target = [0] * self.starts[-1]
        for group in self._groups:
            longest = self.lengths[group[0]]
            for row in group:
                start, length = self.starts[row], self.lengths[row]
                target[start : start + length] = range(len(source), len(source) + length)
                source += range(start, start + length)
                padding += range(len(source), len(source) + longest - length)
                source += [start + length - 1] * (longest - length)
        return tuple(torch.tensor(x, dtype=torch.int64, device=self.device) for x in (source, target, padding))  # type: ignore[return-value]

    def _seen(self, group: Sequence[int], longest: int, window: int | None) -> Tensor:
        """Return the mask (rows, longest, longest) of a group: true where the first token may attend to the second."""
        causal = torch.ones(longest, longest, dtype=torch.bool, device=self.device).tril()
        mask = causal.expand(len(group), longest, longest)
        if self._parts is not None:
            parts = pad([[*self._parts[row], *[0] * (longest - self.lengths[row])] for row in group], self.device)
            mask = mask & ((parts[:, None, :] == parts[:, :, None]) | (parts[:, None, :] == 0))
        if window is not None:
            at = pad([[*self._where[row], *[0] * (longest - self.lengths[row])] for row in group], self.device)
            mask = mask & (at[:, :, None] - at[:, None, :] < window)
        diagonal = torch.eye(longest, dtype=torch.bool, device=self.device)  # padding attends to itself
        return mask | diagonal

    def attend(self, inner: Any, module: Any, query: Tensor, key: Tensor, value: Tensor, **more: Any) -> Tensor:
        """Return the attention (1, tokens, heads, width) of query, key and value (1, heads, tokens, width)."""
        source, target, padding = self._maps
        flat = [_gathered(x.transpose(1, 2).flatten(2)[0], source, target) for x in (query, key, value)]
        window = more.get("sliding_window")
        outputs, at = [], 0
        for number, group in enumerate(self._groups):
            longest = self.lengths[group[0]]
            stop = at + len(group) * longest
            own = [
                x[at:stop].view(len(group), longest, heads.shape[1], -1).transpose(1, 2)
                for x, heads in zip(flat, (query, key, value), strict=True)
            ]
            reach = window if window is not None and longest > window else None
            mask = None
            if self._parts is not None or reach is not None:
                place = (number, -1 if reach is None else reach)
                if place not in self._masks:
                    self._masks[place] = self._seen(group, longest, reach)[:, None]
                mask = self._masks[place]
            outputs.append(inner(module, *own, mask, **more)[0].flatten(0, 1).flatten(1))
            at = stop
        whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        back: Tensor = _Scatter.apply(whole, source, target, padding)  # type: ignore[no-untyped-call]
        return back.view(1, back.shape[0], query.shape[1], -1)


class _Gather(torch.autograd.Function):
    """The stream's tokens (tokens, width) in the groups' rectangles, concatenated (places, width)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(target)
        return x.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (target,) = ctx.saved_tensors
        return grads[0].index_select(0, target), None, None  # no real token attended to padding


def _gathered(x: Tensor, source: Tensor, target: Tensor) -> Tensor:
    found: Tensor = _Gather.apply(x, source, target)  # type: ignore[no-untyped-call]
    return found


class _Scatter(torch.autograd.Function):
    """The inverse of :class:`_Gather`; padding gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, target: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(source, padding)
        return x.index_select(0, target)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        source, padding = ctx.saved_tensors
        return grads[0].index_select(0, source).index_fill_(0, padding, 0.0), None, None, None


class _Now(threading.local):
    """The stream of the current pass; one pass per thread."""

    packed: Packed | None = None


_now = _Now()


def being_read() -> Packed | None:
    """Return the stream that this thread is reading."""
    return _now.packed


@contextmanager
def reading(packed: Packed | None) -> Iterator[None]:
    """Attend within ``packed``'s rows in every forward pass inside the block."""
    before, _now.packed = _now.packed, packed
    try:
        yield
    finally:
        _now.packed = before


def hang_in(model: Any) -> bool:
    """Enable ``model`` to read streams; return whether that is possible.

    Models whose attention is not transformers' scaled-dot-product attention behind its interface cannot.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    config = model.config.get_text_config(decoder=True)
    if not getattr(model, "_supports_attention_backend", False) or config._attn_implementation != "sdpa":
        return False

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
    ) -> tuple[Tensor, None]:
        if _now.packed is None:
            found: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **more)[0]
            return found, None
        return _now.packed.attend(sdpa_attention_forward, module, query, key, value, **more), None

    # Excluded from compiled blocks: its groups differ between passes.
    AttentionInterface.register(NAME, torch.compiler.disable(attend))  # type: ignore[no-untyped-call]
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True
