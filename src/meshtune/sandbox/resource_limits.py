"""A program's resource limits, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20

Kind = Literal["passed", "failed", "timeout", "memory", "killed"]


@dataclass(frozen=True)
class Limits:
    """Limits at which a program is stopped.

    Attributes:
        seconds: wall time.
        cpu_seconds: processor time of each of its processes.
        memory: bytes of address space of each of its processes.
        file_bytes: the longest file.
        space_bytes: all its files together; only with isolation.
        processes: processes and threads at a time, including its first one.
        output_bytes: how much of the end of its stderr is kept.
    """

    seconds: float = 10.0
    cpu_seconds: int = 8
    memory: int = 1024 * MIB
    file_bytes: int = MIB
    space_bytes: int = 16 * MIB
    processes: int = 8
    output_bytes: int = 16 << 10


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        passed: it ran to its end.
        kind: "passed"; "failed", an exception or an early end; "timeout" and "memory", a limit; "killed", a signal.
        detail: the last line of the traceback, or what stopped it; empty if it passed.
    """

    passed: bool
    kind: Kind
    detail: str
