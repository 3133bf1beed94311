"""What a run's preparation and checkpoints were made with, so that they are never used with anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshtune.errors import UserError
from meshtune.runs.store import RunStore


@dataclass(frozen=True)
class Stamp:
    """Digests of everything that determines a run, besides the code.

    Attributes:
        config: of the configuration that the run was made with.
        base: of the base model's weights and tokenizer.
        data: of all training questions, device by device; None if the data are not available.
        asked: of the questions of the run's own exam; None for another exam.
    """

    config: str
    base: str
    data: str | None = None
    asked: str | None = None

    def facts(self) -> dict[str, str]:
        """Return what is stored."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def check(self, stored: Any, store: RunStore, file: str) -> None:
        """Make sure that ``file`` of ``store`` has the same digests, as far as both sides know them.

        Raises:
            UserError: it has not; says what differs.
        """
        known: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
        path = store.path
        for key, value in self.facts().items():
            if key == "asked" and key not in known:
                continue  # recomputed by an exam of another kind
            if known.get(key) != value:
                raise UserError(
                    {
                        "config": f"{file} in {path} was made with another configuration than config.json holds: "
                        "restore config.json, or start a separate run in another folder",
                        "base": f"the base model is not the one that {path} was started with, its weights or its "
                        "tokenizer differ: restore model.name, or what it names",
                        "data": f"the training data are not those that {path} was started with: restore data, or "
                        "MESHTUNE_DATA",
                        "asked": f"the questions of the exam are not those that {path} was started with: restore "
                        "data, or MESHTUNE_DATA",
                    }[key]
                )
