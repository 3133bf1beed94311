"""When two questions are the same: what stays of a text when the way it is written does not count.

Case, white space, punctuation and the many ways in which Unicode writes one letter do not count. Words, digits and
signs that change a meaning (+, <, %, a minus, a decimal point) do, so that questions made from one template stay apart.
Of a program only case and white space are dropped.

A prompt alone does not make a multiple-choice question: "Select the plant." is asked many times, of other things. Two
of them are the same if they also share all options, or the right one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from meshtune.tasks.base import Question

_GAP = re.compile(r" ?(?:[^\w ]|_)[\W_]*")  # between words, with more than a space in it
_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"))
_SIGNS = frozenset("+=<>$|~")
_BEHIND = frozenset("%#")  # 5%, C#
_MEANT = frozenset({"Sm", "Sc", "So", "Mn", "Mc", "Me"})


def plain(text: str) -> str:
    """Return what of ``text`` counts: its letters, digits and signs after NFKC and case folding, without gaps."""
    if text.isascii():
        text = text.lower()
    else:
        folded = unicodedata.normalize("NFKC", text).translate(_DASHES).casefold()
        text = unicodedata.normalize("NFKC", folded)
    return _SPACE.sub("", _GAP.sub(_kept, " ".join(text.split()))) or "".join(text.split())


def _kept(match: re.Match[str]) -> str:
    """Return what counts of the characters between two words; all of them between two digits."""
    gap, text = match[0], match.string
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if before.isdigit() and after.isdigit():
        return gap.replace(" ", "")
    return "".join(char for at, char in enumerate(gap) if _counts(char, at, gap, before, after))


def _counts(char: str, at: int, gap: str, before: str, after: str) -> bool:
    """Tell whether a character that is no letter and no digit counts; ``gap`` are such ones, between two others."""
    if char in _SIGNS or (char in _BEHIND and at == 0 and before != ""):
        return True
    if char == "-":  # a sign, not a hyphen
        return at == len(gap) - 1 and after.isdigit() and (at > 0 or not before)
    return not char.isascii() and unicodedata.category(char) in _MEANT


def asked(question: Question) -> str:
    """Return what counts of what is asked, in whichever template."""
    text = question.asked or question.prompt
    return "".join(text.casefold().split()) if question.check else plain(text)


class Marks:
    """Hashes of which two questions share one if they are the same; each question's are worked out once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Question, tuple[bytes, bytes]]] = {}

    def __call__(self, question: Question) -> tuple[bytes, bytes]:
        """Return the marks of a question; the first is that of its repeats within a split.

        Of a chosen answer: prompt with all options, prompt with the right one. Of a written one: prompt, prompt with
        reference.
        """
        known = self._known.get(id(question))
        if known is None:
            prompt = asked(question)
            options = [plain(option) for option in question.options]
            own = ("prompt", prompt) if question.written else ("options", prompt, *sorted(options))
            found = (_mark(own), _mark(("right", prompt, options[question.answer])))
            known = self._known[id(question)] = (question, found)  # kept, so that no other gets its id
        return known[1]


def _mark(parts: tuple[str, ...]) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
