"""Greedy answers under a routed model: many prompts, of many experts, written side by side.

Who answers is decided once, from the prompt. Prompts of like length are read in one pass; then every row gets a token a
step until it ends its line or its text, and leaves the batch. Each answer is the one that its prompt alone would get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank, Route
from meshtune.learning.base import Base
from meshtune.learning.encode import length_buckets, shorten
from meshtune.learning.evaluate import Ask, route_of
from meshtune.learning.past import Cached, Past, begin

MOST_EXPERTS = 16
"""Experts of one batch: their matrices are held side by side while it is written."""


def generate(
    base: Base,
    asks: Sequence[Ask],
    tokens: int,
    micro_tokens: int,
    bank: Bank | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Return the greedy answer to the prompt of every ask: one line, stripped.

    Args:
        base: the frozen model.
        asks: the prompts; either all with gates (then ``bank`` is needed) or none.
        tokens: the most new tokens of an answer; a prompt that leaves them no room is cut from its left.
        micro_tokens: padded tokens of one pass over prompts.
        bank: the experts that gates weight.
        progress: called with the number of answers done behind every batch.
    """
    ending = Ending(base)
    tokens = min(tokens, base.longest - 1)
    prompts = [shorten(base.tokenizer, ask.prompt, base.longest - tokens) for ask in asks]
    texts = [""] * len(asks)
    done = 0
    for shared, part in _parts(asks, bank):
        place = {id(expert): number for number, expert in enumerate([None, *shared.experts])}
        for bucket in length_buckets([len(prompts[i]) for i in part], micro_tokens):
            rows = sorted((part[i] for i in bucket), key=lambda i: (place.get(id(asks[i].expert), 0), i))
            batch = _Batch(base, [asks[i] for i in rows], shared)
            written = batch.write([prompts[i] for i in rows], tokens, ending)
            for i, row in zip(rows, written, strict=True):
                texts[i] = ending.text(row)
            done += len(rows)
            if progress is not None:
                progress(done)
    return texts


def _parts(asks: Sequence[Ask], bank: Bank | None) -> list[tuple[Bank, list[int]]]:
    """Return the numbers of the asks that are written together, and the experts they need."""
    if bank is not None:
        return [(bank, list(range(len(asks))))]
    experts: dict[int, Expert] = {id(ask.expert): ask.expert for ask in asks if ask.expert is not None}
    ids = list(experts)
    parts = []
    for start in range(0, max(1, len(ids)), MOST_EXPERTS):
        chosen = ids[start : start + MOST_EXPERTS]
        mine = {*chosen, *([id(None)] if start == 0 else [])}
        numbers = [i for i, ask in enumerate(asks) if id(ask.expert) in mine]
        parts.append((Bank([experts[key] for key in chosen]), numbers))
    return parts


class Ending:
    """Where an answer ends: at the end of its text, or of its line.

    Args:
        base: its tokenizer and its own settings of generation say which tokens end a text.
    """

    def __init__(self, base: Base) -> None:
        self._tokenizer = base.tokenizer
        settings = getattr(base.model, "generation_config", None)
        named = [base.tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)]
        self._ends = {end for ends in named for end in (ends if isinstance(ends, list) else [ends])}
        self._lines: dict[int, bool] = {}

    def of_text(self, token: int) -> bool:
        """Return whether ``token`` ends the text; it is no part of it."""
        return token in self._ends

    def of_line(self, token: int) -> bool:
        """Return whether the line ends within ``token``; what is in front of the newline belongs to it."""
        if token not in self._lines:
            self._lines[token] = "\n" in self._tokenizer.decode([token])
        return self._lines[token]

    def text(self, tokens: Sequence[int]) -> str:
        """Return the answer in ``tokens``."""
        whole: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True) if tokens else ""
        return whole.split("\n")[0].strip()


class _Batch:
    """Rows that are written side by side; rows of one expert stand together."""

    def __init__(self, base: Base, asks: Sequence[Ask], bank: Bank) -> None:
        self._base = base
        self._asks = list(asks)
        self._bank = bank

    def write(self, prompts: Sequence[tuple[int, ...]], tokens: int, ending: Ending) -> list[list[int]]:
        """Return the tokens of every row's answer."""
        base = self._base
        past = begin(base)
        answers: list[list[int]] = [[] for _ in prompts]
        live = list(range(len(prompts)))
        last = past.read(prompts, self._reading(live))
        for step in range(tokens):
            going = []
            best = base.logits(last).argmax(dim=-1).tolist()
            for place, (row, token) in enumerate(zip(live, best, strict=True)):
                if not ending.of_text(token):
                    answers[row].append(token)
                    if not ending.of_line(token):
                        going.append(place)
            if not going or step == tokens - 1:
                break
            if len(going) < len(live):
                past.keep(going)
                live = [live[place] for place in going]
            last = past.read([answers[row][-1:] for row in live], self._writing(live, past))
        return answers

    def _reading(self, live: Sequence[int]) -> Route:
        bank = self._bank if self._asks[0].gates is not None else None
        return route_of(self._base, [self._asks[row] for row in live], bank)

    def _writing(self, live: Sequence[int], past: Past) -> Route | None:
        """Return the route of one more token: one product for all experts, where a pass each would cost more."""
        if not isinstance(past, Cached):
            return self._reading(live)
        if self._asks[0].gates is None and not self._bank.experts:
            return None
        return self._bank.route(torch.from_numpy(self._gates[list(live)]).to(self._base.device, torch.float32))

    @cached_property
    def _gates(self) -> Any:
        """Gates (rows, G): the ask's own, or 1 for its single expert."""
        rows = [
            ask.gates if ask.gates is not None else [float(ask.expert is expert) for expert in self._bank.experts]
            for ask in self._asks
        ]
        return np.asarray(rows, dtype=np.float64)
