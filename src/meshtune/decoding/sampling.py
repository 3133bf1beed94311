"""How the next token is chosen: the likeliest, or sampled with numbers that depend only on prompt and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meshtune.seeds import stream

Picker = Callable[[Tensor, Sequence[int]], list[int]]
"""Returns the next token of every row, given their logits (rows, V) and numbers."""


@dataclass(frozen=True)
class Writing:
    """Decoding settings.

    Attributes:
        tokens: the most new tokens of an answer; a prompt that leaves them no room is truncated from the left.
        stops: an answer ends before the first of these strings.
        samples: answers to each prompt.
        temperature: divides the logits before a token is sampled; 0 takes the likeliest token.
        top_p: sample from the likeliest tokens that together have this probability.
        seed: of the sampling. Random numbers depend only on it, the prompt and the sample's number, so that all experts
            use the same numbers for a prompt, and answers differ only because of the experts.
    """

    tokens: int
    stops: tuple[str, ...] = ("\n",)
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


def picker(writing: Writing, prompts: Sequence[tuple[int, ...]]) -> Picker:
    """Return the picker for a batch; the samples of a prompt have consecutive numbers."""

    def likeliest(logits: Tensor, rows: Sequence[int]) -> list[int]:
        best: list[int] = logits.argmax(dim=-1).tolist()
        return best

    if writing.temperature == 0:
        return likeliest
    names = [hashlib.blake2b(repr(prompt).encode(), digest_size=16).hexdigest() for prompt in prompts]
    draws = [stream(writing.seed, "answer", name, sample) for name in names for sample in range(writing.samples)]

    def drawn(logits: Tensor, rows: Sequence[int]) -> list[int]:
        uniform = torch.tensor([draws[row].random() for row in rows], dtype=torch.float64, device=logits.device)
        return draw(logits, writing.temperature, writing.top_p, uniform)

    return drawn


def draw(logits: Tensor, temperature: float, top_p: float, uniform: Tensor) -> list[int]:
    """Return a token for every row: the one at the quantile ``uniform`` of the row's probabilities.

    Args:
        logits: (rows, V).
        temperature: divides them.
        top_p: only the likeliest tokens that together have this probability are sampled.
        uniform: (rows,), in [0, 1), float64.
    """
    odds = torch.softmax(logits.double() / temperature, dim=-1)
    if top_p < 1:
        ordered, order = odds.sort(dim=-1, descending=True, stable=True)
        kept = ordered.where(ordered.cumsum(dim=-1) - ordered < top_p, 0.0)
        odds = torch.zeros_like(odds).scatter(-1, order, kept)
    reached = odds.cumsum(dim=-1)
    found = torch.searchsorted(reached, uniform[:, None] * reached[:, -1:], right=True)
    drawn: list[int] = found.clamp(max=logits.shape[-1] - 1).flatten().tolist()
    return drawn
