"""Content transfer settings: sizes, parts in flight, and timeouts."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from meshtune.settings import Settings, Within

LONGEST_PART = 1 << 20
"""Maximum bytes of a part that may be requested or sent, and of a content sent whole."""

Seconds = Annotated[float, Within(1e-3, 1e6, "s")]


class TransferConfig(Settings):
    """How a device transfers contents.

    Attributes:
        whole: maximum bytes of a content that is sent with its offer instead of being fetched.
        part: bytes of a part.
        in_flight: maximum number of parts requested from one neighbour that have neither arrived nor timed out.
        timeout: seconds after which a part or an acknowledgement counts as lost.
        largest: maximum bytes of a content that is fetched.
        memory: maximum bytes of contents being fetched; further ones wait.
        store: maximum bytes of offered contents; beyond that, the oldest are withdrawn.
        window: maximum number of unacknowledged offers to one neighbour; further ones wait.
        keep_alive: seconds between keep-alive messages.
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
