"""How contents are transferred: sizes, parts in flight, and how long a device waits for what."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from meshtune.settings import Settings, Within

LONGEST_PART = 1 << 20
"""Bytes of the longest part that anybody may ask for or send, and of the largest content sent whole."""

Seconds = Annotated[float, Within(1e-3, 1e6, "s")]


class TransferConfig(Settings):
    """How a device transfers contents.

    Attributes:
        whole: bytes of the largest content that is sent with its offer instead of being fetched.
        part: bytes of a part.
        in_flight: parts that are asked of one neighbour and have neither come nor timed out, at most.
        timeout: seconds after which a part or an acknowledgement counts as lost.
        largest: bytes of the largest content that is fetched.
        memory: bytes that contents being fetched may take; further ones wait.
        store: bytes that offered contents may take; beyond, the oldest are withdrawn.
        window: offers to one neighbour that it has neither taken nor refused, at most; further ones wait.
        keep_alive: seconds after which a device says again that it is there.
        silence: seconds without a message after which a neighbour counts as gone.
    """

    whole: Annotated[int, Within(0, LONGEST_PART, "bytes")] = 4096
    part: Annotated[int, Within(256, LONGEST_PART, "bytes")] = 128 << 10
    in_flight: Annotated[int, Within(1, 64)] = 4
    timeout: Seconds = 5.0
    largest: Annotated[int, Within(1, 1 << 40, "bytes")] = 256 << 20
    memory: Annotated[int, Within(1, 1 << 40, "bytes")] = 512 << 20
    store: Annotated[int, Within(1, 1 << 40, "bytes")] = 1 << 30
    window: Annotated[int, Within(1, 1 << 16)] = 256
    keep_alive: Seconds = 10.0
    silence: Seconds = 35.0

    @model_validator(mode="after")
    def _fits(self) -> TransferConfig:
        if self.largest > self.memory:
            raise ValueError(f"largest={self.largest} is above memory={self.memory}: raise memory, or lower largest")
        if self.silence <= self.keep_alive:
            raise ValueError(
                f"silence={self.silence:g} is not above keep_alive={self.keep_alive:g}, so everybody would count as "
                "gone: raise it to about three times keep_alive"
            )
        return self
