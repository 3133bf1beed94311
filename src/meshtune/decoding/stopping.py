"""Where a written answer ends: with its text, or in front of the first string at which answers of its task stop."""

from __future__ import annotations

import re
from collections.abc import Sequence

from meshtune.model.base import Base


class Ending:
    """Where an answer ends: at the end of its text, or in front of a stop.

    Args:
        base: its tokenizer and its own settings of generation say which tokens end a text.
        stops: the strings in front of which an answer ends.
    """

    def __init__(self, base: Base, stops: Sequence[str]) -> None:
        self._tokenizer = base.tokenizer
        self._stops = tuple(stops)
        self._last = {stop[-1] for stop in stops}
        settings = getattr(base.model, "generation_config", None)
        named = [base.tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)]
        self._ends = {end for ends in named for end in (ends if isinstance(ends, list) else [ends])}
        self._closing: dict[int, bool] = {}

    def of_text(self, token: int) -> bool:
        """Return whether ``token`` ends the text; it is no part of it."""
        return token in self._ends

    def of_answer(self, tokens: Sequence[int]) -> bool:
        """Return whether a stop is complete with the last of ``tokens``, or within it."""
        token = tokens[-1]
        if token not in self._closing:
            self._closing[token] = not self._last.isdisjoint(self._tokenizer.decode([token]))
        # Reading the whole answer at every token would take longer than a small model takes to write it.
        return self._closing[token] and any(stop in self._whole(tokens) for stop in self._stops)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the answer in ``tokens``, without what is around it; indentation counts as its own, one space not."""
        whole = self._whole(tokens)
        cut = min((at for stop in self._stops if (at := whole.find(stop)) >= 0), default=len(whole))
        if "\n" in self._stops:
            return whole[:cut].strip()
        return re.sub(r"^ (?=\S)", "", whole[:cut].rstrip())

    def _whole(self, tokens: Sequence[int]) -> str:
        whole: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True) if tokens else ""
        return whole
