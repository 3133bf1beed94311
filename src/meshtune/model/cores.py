"""Parallel passes over the frozen model: on a CPU each on its own cores.

A small model's operations are too short to split across cores: synchronisation costs more than it saves. Whole
micro-batches are long enough. If there are at least as many of them as cores, every pass runs on one core, and its
result does not depend on the number of cores; spare cores are divided evenly. Results come in the order of the work,
not of completion.
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

    Elsewhere, or if the base keeps state during a pass, pieces run sequentially.
    """
    yield from on_cores(do, work) if base.threads and base.device.type == "cpu" else map(do, work)


def on_cores(do: Callable[[Work], Result], work: Sequence[Work]) -> Iterator[Result]:
    """Yield ``do(piece)`` for every piece of ``work``, in its order, for any work on the CPU.

    As many pieces run at a time, and are in memory, as torch may use threads (``OMP_NUM_THREADS``,
    ``torch.set_num_threads``).
    """
    cores = torch.get_num_threads()
    workers = min(cores, len(work))
    if workers < 2:
        yield from map(do, work)
        return
    each = cores // workers
    # Each worker sets this itself: otherwise its thread's matrix products would use all cores again.
    with (
        threads(each),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool,
    ):
        yield from pool.map(do, work)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads per operation inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
