"""When two questions are the same: a normal form of text that ignores spelling variants.

Case, white space, punctuation and the different Unicode forms of a letter are ignored. Words, digits and signs that
change a meaning (+, <, %, a minus, a decimal point) count, so that questions from one template stay distinct. In a
program only case and white space are ignored.

A prompt alone does not identify a multiple-choice question: "Select the plant." occurs many times with other options.
Two of them are the same if they also share all options, or the right one.
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
    """Return the normal form of ``text``: its letters, digits and signs after NFKC and case folding, without gaps."""
    if text.isascii():
        text = text.lower()
    else:
        folded = unicodedata.normalize("NFKC", text).translate(_DASHES).casefold()
        text = unicodedata.normalize("NFKC", folded)
    return _SPACE.sub("", _GAP.sub(_kept, " ".join(text.split()))) or "".join(text.split())


def _kept(match: re.Match[str]) -> str:
    """Return the significant characters between two words; between two digits all count."""
    gap, text = match[0], match.string
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if before.isdigit() and after.isdigit():
        return gap.replace(" ", "")
    return "".join(char for at, char in enumerate(gap) if _counts(char, at, gap, before, after))


def _counts(char: str, at: int, gap: str, before: str, after: str) -> bool:
    """Tell whether a character that is neither letter nor digit counts; ``gap`` is a run of such characters."""
    if char in _SIGNS or (char in _BEHIND and at == 0 and before != ""):
        return True
    if char == "-":  # a sign, not a hyphen
        return at == len(gap) - 1 and after.isdigit() and (at > 0 or not before)
    return not char.isascii() and unicodedata.category(char) in _MEANT


def asked(question: Question) -> str:
    """Return the normal form of the question, in any template."""
    text = question.asked or question.prompt
    return "".join(text.casefold().split()) if question.check else plain(text)


class Marks:
    """Hashes of questions: two questions that are the same share one; each question's hashes are computed once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Question, tuple[bytes, bytes]]] = {}

    def __call__(self, question: Question) -> tuple[bytes, bytes]:
        """Return the marks of a question; the first identifies its repeats within a split.

        For a chosen answer: prompt with all options, prompt with the right one. For a written one: prompt, prompt with
        reference.
        """
        known = self._known.get(id(question))
        if known is None:
            prompt = asked(question)
            options = [plain(option) for option in question.options]
            own = ("prompt", prompt) if question.written else ("options", prompt, *sorted(options))
            found = (_mark(own), _mark(("right", prompt, options[question.answer])))
            known = self._known[id(question)] = (question, found)  # kept alive, so that no other question gets its id
        return known[1]


def _mark(parts: tuple[str, ...]) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
