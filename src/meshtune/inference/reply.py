"""A device's answer, and the experts behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weight:
    """An expert's share in an answer: the task it knows, the devices that trained it, and its gate.

    There is no gate with token-level routing. If gates sum to less than 1, the rest belongs to the frozen model.
    """

    task: str
    devices: tuple[int, ...]
    gate: float | None


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        prompt: what the model read.
        answer: what it wrote, or the option it chose.
        weights: the experts that answered, the largest gate first; empty for the frozen model.
        options: the options with their probabilities, the largest first.
    """

    prompt: str
    answer: str
    weights: tuple[Weight, ...]
    options: tuple[tuple[str, float], ...] = ()
