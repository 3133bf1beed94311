"""Numbers as people and models write them, parsed unambiguously or not at all.

70000 is also 70,000, 70 000 (with any kind of space between thousands), 7e4 and $70,000.00. A minus may be U+2212; 1/2,
2 1/2 and ½ are fractions; digits may be of any script. If commas or points are ambiguous (1,5 and 1.000,5 and
1.000.000), or a power follows (10²), no number is read, because a wrong one would go unnoticed.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

_SPACE = "[ \u00a0\u2007\u2009\u202f]"
_NUMBER = re.compile(
    rf"""
    (?P<minus>(?<![0-9])[-\u2212])?[$€£]?                  # behind a digit a minus takes away: it is no sign
    (?:
      (?<![0-9/.,])(?:(?P<whole>[0-9]{{1,3}})[ ])?
        (?P<over>[0-9]{{1,9}})/(?P<under>[0-9]{{1,9}})(?![0-9/]|[.,][0-9])
      | (?:
          (?P<spaced>(?<![0-9.,])[0-9]{{1,3}}(?:{_SPACE}[0-9]{{3}})+(?![0-9])(?:[.,][0-9.,]*[0-9])?)
          | (?P<run>\.?[0-9](?:[0-9.,]*[0-9])?)
        )
        (?:[eE](?P<power>[-+\u2212]?[0-9]{{1,3}})(?![0-9A-Za-z]))?
    )
    (?P<raised>[⁰¹²³⁴-⁹])?
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_COMMAS = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3})(?:\.[0-9]+)?")


def number_in(words: str, last: bool = False) -> Decimal | Fraction | None:
    """Return the first number in ``words``, or the last one; None if there is none, or if it is ambiguous."""
    found = list(_NUMBER.finditer(_ascii(words)))
    return _value(found[-1 if last else 0]) if found else None


def _ascii(words: str) -> str:
    """Return ``words`` with the digits of all scripts as 0 to 9, and ½ as 1/2."""
    if words.isascii():
        return words
    made = ""
    for char in words:
        made += _digit(char, made[-1:]) if char.isnumeric() else "/" if char == "\u2044" else char
    return made


def _digit(char: str, before: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    written = unicodedata.normalize("NFKC", char).replace("\u2044", "/")
    if not re.fullmatch("[0-9]+/[0-9]+", written):
        return char
    return f" {written}" if before.isdigit() else written


def _value(match: re.Match[str]) -> Decimal | Fraction | None:
    sign = "-" if match["minus"] else ""
    if match["raised"]:
        return None
    if match["over"]:
        over, under, whole = int(match["over"]), int(match["under"]), int(match["whole"] or 0)
        if under == 0 or (match["whole"] and over >= under):
            return None
        return (-1 if sign else 1) * (whole + Fraction(over, under))
    run = re.sub(_SPACE, "", match["spaced"]) if match["spaced"] else match["run"]
    if not _PLAIN.fullmatch(run) and not _COMMAS.fullmatch(run):
        return None
    power = (match["power"] or "0").replace("\u2212", "-")
    return Decimal(f"{sign}{run.replace(',', '')}e{power}")
