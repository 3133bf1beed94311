"""Where a written answer ends: with its text, or before the first stop string of its task."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from meshtune.model.base import Base

_UNREAD = "\ufffd"
"""The replacement character that a decoder writes for an incomplete character."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""The name of a single-byte token; a run of them is decoded as a whole, and may turn out to be invalid text."""


class Ending:
    """Where an answer ends: at the end of its text, or before a stop string.

    Args:
        base: its tokenizer and generation settings say which tokens end a text.
        stops: the strings before which an answer ends.
    """

    def __init__(self, base: Base, stops: Sequence[str]) -> None:
        self._tokenizer = base.tokenizer
        self._stops = tuple(stops)
        self._last = {stop[-1] for stop in stops}
        self._starts = {stop[:length] for stop in stops for length in range(1, len(stop))}
        settings = getattr(base.model, "generation_config", None)
        named = [base.tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)]
        self._ends = {end for ends in named for end in (ends if isinstance(ends, list) else [ends])}
        self._closing: dict[int, bool] = {}

    def of_text(self, token: int) -> bool:
        """Return whether ``token`` ends the text, without being part of it."""
        return token in self._ends

    def of_answer(self, tokens: Sequence[int]) -> bool:
        """Return whether the last of ``tokens`` completes or contains a stop string."""
        token = tokens[-1]
        if token not in self._closing:
            self._closing[token] = not self._last.isdisjoint(self._tokenizer.decode([token]))
        # Decoding the whole answer at every token would take longer than a small model takes to generate it.
        return self._closing[token] and any(stop in self._whole(tokens) for stop in self._stops)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the answer in ``tokens``, trimmed; leading indentation belongs to it, a single space does not."""
        return self._trimmed(self._cut(self._whole(tokens)))

    def settled(self, tokens: Sequence[int]) -> str:
        """Return the part of the answer that no further token can change.

        Held back are characters with possibly missing bytes, white space that may be trailing, text that may begin a
        stop string, and the last word if the tokenizer joins words to what follows.
        """
        named = getattr(self._tokenizer, "convert_ids_to_tokens", str)
        count = len(tokens)
        while count and _BYTE.fullmatch(str(named(tokens[count - 1]))):
            count -= 1
        text = self._cut(self._whole(tokens[:count]).rstrip(_UNREAD))
        if getattr(self._tokenizer, "clean_up_tokenization_spaces", False):
            text = text[: max(map(text.rfind, string.whitespace)) + 1]
        longest = max(map(len, self._starts), default=0)
        held = next((n for n in range(min(longest, len(text)), 0, -1) if text[-n:] in self._starts), 0)
        return self._trimmed(text[: len(text) - held])

    def _cut(self, text: str) -> str:
        return text[: min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=len(text))]

    def _trimmed(self, text: str) -> str:
        return text.strip() if "\n" in self._stops else re.sub(r"^ (?=\S)", "", text.rstrip())

    def _whole(self, tokens: Sequence[int]) -> str:
        whole: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True) if tokens else ""
        return whole
