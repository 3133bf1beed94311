"""Passes over the frozen model side by side: on a CPU each on cores of its own.

A small model's operations are too short to be shared out among cores: waiting for each other costs more than it saves.
Whole micro-batches are not. Where there are at least as many of them as cores, every pass runs on one core, and its
result is the same however many cores there are; spare cores are shared out evenly. Results come in the order of the
work, whoever finished first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from meshtune.model.base import Base

Work = TypeVar("Work")
Result = TypeVar("Result")


def side_by_side(base: Base, do: Callable[[Work], Result], work: Sequence[Work]) -> Iterator[Result]:
    """Yield ``do(piece)`` for every piece of ``work``, in its order: :func:`on_cores` where the base is on a CPU.

    Elsewhere, or where the base keeps a state while it reads, one piece runs after the other.
    """
    yield from on_cores(do, work) if base.threads and base.device.type == "cpu" else map(do, work)


def on_cores(do: Callable[[Work], Result], work: Sequence[Work]) -> Iterator[Result]:
    """Yield ``do(piece)`` for every piece of ``work``, in its order, whatever runs on the CPU.

    As many pieces run at a time as torch may use threads (``OMP_NUM_THREADS``, ``torch.set_num_threads``), so as many
    are in memory.
    """
    cores = torch.get_num_threads()
    workers = min(cores, len(work))
    if workers < 2:
        yield from map(do, work)
        return
    each = cores // workers
    # Each worker says so itself: the matrix products of a thread that does not are shared out among all cores again.
    with (
        threads(each),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool,
    ):
        yield from pool.map(do, work)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads for one operation inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
