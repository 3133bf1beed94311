"""How a run reports its progress, without knowing its observers."""

from __future__ import annotations

from collections.abc import Callable

from meshtune.runs.events import Event

Observer = Callable[[Event], None]
"""Called with every event of a run, in order; if it raises, the run ends and keeps its finished rounds."""


class Silent:
    """An observer that ignores all events."""

    def __call__(self, event: Event) -> None:
        return None
