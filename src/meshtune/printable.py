"""Untrusted text, made safe to show: no terminal escapes, no hidden or reordering characters."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, limit: int | None = None) -> str:
    r"""Return ``text`` on one line, with every character that a terminal would not show as itself escaped.

    Control and format characters (escape sequences, right-to-left overrides, zero-width joiners), lone surrogates and
    line ends become ``\n``, ``\x1b``, ``\u202e``. The result always encodes as UTF-8.

    Args:
        text: anything.
        limit: truncate the result to this many characters, the last of them an ellipsis; at least 1.
    """
    shown = "".join(_escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in text)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def quoted(value: object, limit: int = 100) -> str:
    """Return the repr of ``value`` on one line of at most ``limit`` characters, to be quoted in an error."""
    try:
        return printable(repr(value), limit)
    except (RecursionError, ValueError):  # nested too deeply, or a number of too many digits
        return f"a {type(value).__name__}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
