"""How a run tells what it is doing, without knowing who watches."""

from __future__ import annotations

from collections.abc import Callable

from meshtune.runs.events import Event

Observer = Callable[[Event], None]
"""Called with every event of a run, in order; what it raises ends the run, which keeps what is finished."""


class Silent:
    """An observer that takes no notice."""

    def __call__(self, event: Event) -> None:
        return None
