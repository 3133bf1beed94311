"""Passes over the frozen model side by side: on a CPU each on a core of its own.

A small model's operations are too short to be shared out among cores: waiting for each other costs more than it saves.
Whole micro-batches are not. Every pass runs on one core, whether there are others or not, so its result is the same on
any machine with the same instructions; results come in the order of the work, whoever finished first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from meshtune.learning.base import Base

Work = TypeVar("Work")
Result = TypeVar("Result")


def side_by_side(base: Base, do: Callable[[Work], Result], work: Sequence[Work]) -> Iterator[Result]:
    """Yield ``do(piece)`` for every piece of ``work``, in its order.

    On a CPU as many pieces run at a time as torch may use threads (``OMP_NUM_THREADS``, ``torch.set_num_threads``);
    elsewhere one after the other.
    """
    cores = torch.get_num_threads()
    if base.device.type != "cpu":
        yield from map(do, work)
        return
    with _one_thread_each():
        if cores == 1 or len(work) == 1:
            yield from map(do, work)
            return
        # Each worker says so itself: the matrix products of a thread that does not are shared out again.
        with ThreadPoolExecutor(min(cores, len(work)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(do, work)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
