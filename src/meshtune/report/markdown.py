"""Names that somebody else chose, written into a Markdown page: they show as they are and do nothing."""

from __future__ import annotations

import re

from meshtune.printable import printable

# Brackets around numbers alone are our intervals; an underscore within a word emphasises nothing; dollars hold formulas
# on GitHub; the last three would begin a link.
_SPECIAL = re.compile(
    r"(?P<interval>\[[-+\d., ]+\](?![(\[:]))|[\\`*\[\]<&|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])|:(?=//)|@(?=[\w-]+\.)|(?<=\bwww)\."
)


def escaped(text: str) -> str:
    """Return ``text`` on one line so that GitHub's Markdown shows it as it is, within a paragraph or a table's cell."""
    return _SPECIAL.sub(lambda found: found[0] if found["interval"] else f"\\{found[0]}", printable(text))
