"""What a device answers, and which experts it answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weight:
    """An expert's share in an answer: the task it knows, the devices that trained it, and its gate.

    There is no gate where every token weighs the experts itself.
    """

    task: str
    devices: tuple[int, ...]
    gate: float | None


@dataclass(frozen=True)
class Reply:
    """What was answered.

    Attributes:
        prompt: what the model read.
        answer: what it wrote, or the option it chose.
        weights: who answered, the largest gate first; nobody where the frozen model did.
        options: what was to choose from, with probabilities, the largest first.
    """

    prompt: str
    answer: str
    weights: tuple[Weight, ...]
    options: tuple[tuple[str, float], ...] = ()
