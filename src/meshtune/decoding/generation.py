"""Answers under a routed model: many prompts, for many experts, decoded in one batch.

Routing happens once, from the prompt. Prompts of similar length are read in one pass. Then every row gets one token per
step, the likeliest or a sampled one, until its answer or its text ends, and leaves the batch. Each answer is the one
that its prompt would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank, Route
from meshtune.decoding.sampling import Writing, picker
from meshtune.decoding.scoring import Ask, route_of
from meshtune.decoding.stopping import Ending
from meshtune.model.base import Base
from meshtune.model.encoding import length_buckets, shorten
from meshtune.model.kv_cache import Cached, Past, begin

MOST_EXPERTS = 16
"""The most experts of one batch: their matrices are stacked while it is decoded."""


def generate(
    base: Base,
    asks: Sequence[Ask],
    writing: Writing,
    micro_tokens: int,
    bank: Bank | None = None,
    ended: Callable[[], None] | None = None,
    known: Mapping[int, list[str]] | None = None,
    keep: Callable[[dict[int, list[str]]], None] | None = None,
) -> list[list[str]]:
    """Return for every ask the answers to its prompt, one per sample.

    Batches depend only on the asks. ``known`` answers skip the batches that are entirely known and change no other, so
    that interrupted writing resumes with the same answers.

    Args:
        base: the frozen model.
        asks: the prompts; either all with gates (then ``bank`` is needed) or none.
        writing: decoding settings.
        micro_tokens: padded tokens of one pass over prompts, each counted once per sample.
        bank: the experts that gates weight.
        ended: called whenever an answer has ended.
        known: answers by the number of the ask, from an earlier, interrupted call.
        keep: called with a finished batch's answers, by the number of the ask.
    """
    known = known or {}
    ending = Ending(base, writing.stops)
    tokens = min(writing.tokens, base.longest - 1)
    prompts = [shorten(base.tokenizer, ask.prompt, base.longest - tokens) for ask in asks]
    texts: dict[int, list[str]] = {}
    for shared, part in _parts(asks, bank):
        place = {id(expert): number for number, expert in enumerate([None, *shared.experts])}
        for bucket in length_buckets([len(prompts[i]) * writing.samples for i in part], micro_tokens):
            rows = sorted((part[i] for i in bucket), key=lambda i: (place.get(id(asks[i].expert), 0), i))
            if all(i in known for i in rows):
                texts.update((i, known[i]) for i in rows)
                continue
            batch = _Batch(base, [asks[i] for i in rows], shared, writing)
            for count in batch.steps([prompts[i] for i in rows], tokens, ending):
                if ended is not None:
                    for _ in range(count):
                        ended()
            written = [ending.text(answer) for answer in batch.answers]
            n = writing.samples
            fresh = {i: written[at * n : (at + 1) * n] for at, i in enumerate(rows)}
            texts.update(fresh)
            if keep is not None:
                keep(fresh)
    return [texts[i] for i in range(len(asks))]


def stream(base: Base, ask: Ask, writing: Writing, bank: Bank | None = None) -> Iterator[str]:
    """Yield the answer to one prompt piece by piece, as its tokens are decoded.

    A piece is text that no further token can change; joined, the pieces are the answer that :func:`generate` returns.

    Args:
        base: the frozen model.
        ask: the prompt, with gates if ``bank`` is given.
        writing: decoding settings; one sample.
        bank: the experts that gates weight.
    """
    ending = Ending(base, writing.stops)
    tokens = min(writing.tokens, base.longest - 1)
    ((shared, _),) = _parts([ask], bank)
    batch = _Batch(base, [ask], shared, writing)
    told = 0
    for _ in batch.steps([shorten(base.tokenizer, ask.prompt, base.longest - tokens)], tokens, ending):
        settled = ending.settled(batch.answers[0])
        if len(settled) > told:
            yield settled[told:]
            told = len(settled)
    if rest := ending.text(batch.answers[0])[told:]:
        yield rest


def _parts(asks: Sequence[Ask], bank: Bank | None) -> list[tuple[Bank, list[int]]]:
    """Return the numbers of the asks that are decoded together, and the experts they need."""
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


class _Batch:
    """Rows that are decoded together: an ask's samples are consecutive, and rows of one expert are grouped.

    Attributes:
        answers: the tokens of every row's answer so far.
    """

    def __init__(self, base: Base, asks: Sequence[Ask], bank: Bank, writing: Writing) -> None:
        self._base = base
        self._asks = [ask for ask in asks for _ in range(writing.samples)]
        self._bank = bank
        self._how = writing
        self.answers: list[list[int]] = [[] for _ in self._asks]

    def steps(self, prompts: Sequence[tuple[int, ...]], tokens: int, ending: Ending) -> Iterator[int]:
        """Write one token per row and step, and yield after each step how many rows have ended."""
        base, samples, answers = self._base, self._how.samples, self.answers
        past = begin(base)
        live = list(range(len(self._asks)))
        last = past.read(prompts, self._reading(live[::samples]))
        if samples > 1:  # a prompt is read once
            rows = [row // samples for row in live]
            past.keep(rows)
            last = last[rows]
        pick = picker(self._how, prompts)
        for step in range(tokens):
            going = []
            for place, (row, token) in enumerate(zip(live, pick(base.logits(last), live), strict=True)):
                if not ending.of_text(token):
                    answers[row].append(token)
                    if not ending.of_answer(answers[row]):
                        going.append(place)
            if step == tokens - 1:
                going = []
            yield len(live) - len(going)
            if not going:
                return
            if len(going) < len(live):
                past.keep(going)
                live = [live[place] for place in going]
            last = past.read([answers[row][-1:] for row in live], self._writing(live, past))

    def _reading(self, live: Sequence[int]) -> Route:
        bank = self._bank if self._asks[0].gates is not None else None
        return route_of(self._base, [self._asks[row] for row in live], bank)

    def _writing(self, live: Sequence[int], past: Past) -> Route | None:
        """Return the route of the next token: one product for all experts, if a pass each would cost more."""
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
