"""How a run tells what it is doing, without knowing who watches."""

from __future__ import annotations

from typing import Any, Protocol


class Observer(Protocol):
    """Receives the events of a run: ``phase``, ``advance``, ``step``, ``round``, ``scored``, ``note``, ``done``."""

    def event(self, kind: str, **fields: Any) -> None:
        """Take note of one event."""


class Silent:
    """Takes no notice."""

    def event(self, kind: str, **fields: Any) -> None:
        return None
