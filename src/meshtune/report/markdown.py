"""Untrusted names in a Markdown page: they are shown literally and have no effect."""

from __future__ import annotations

import re

from meshtune.printable import printable

# Brackets around only numbers are our intervals; an underscore within a word does not emphasise; dollars mark formulas
# on GitHub; the last three would begin a link.
_SPECIAL = re.compile(
    r"(?P<interval>\[[-+\d., ]+\](?![(\[:]))|[\\`*\[\]<&|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])|:(?=//)|@(?=[\w-]+\.)|(?<=\bwww)\."
)


def escaped(text: str) -> str:
    """Return ``text`` on one line so that GitHub's Markdown shows it literally, within a paragraph or a table cell."""
    return _SPECIAL.sub(lambda found: found[0] if found["interval"] else f"\\{found[0]}", printable(text))
