"""Gradient checkpointing: a block keeps only its input, and the backward pass recomputes the rest.

The recomputation needs the thread-local state of the first pass (the route, the rows of the stream). On a GPU it runs
in another thread, so it takes that state along.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from meshtune.adapter.layer import Adapters
from meshtune.model.packing import being_read, reading


class _Wanted(threading.local):
    """Whether the current pass is checkpointed; one pass per thread."""

    now = False


_wanted = _Wanted()


@contextmanager
def again_in_backward(wanted: bool) -> Iterator[None]:
    """Checkpoint every block of the passes inside the context, if ``wanted``."""
    before, _wanted.now = _wanted.now, wanted
    try:
        yield
    finally:
        _wanted.now = before


def make_checkpointed(block: nn.Module, adapters: Adapters) -> None:
    """Let ``block`` be checkpointed in passes that request it."""
    plain = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not _wanted.now or not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        packed, pass_ = being_read(), adapters.current()

        def compute(*inner: Any, **named: Any) -> Any:
            with reading(packed), adapters.resumed(pass_):
                return plain(*inner, **named)

        return checkpoint(compute, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    block.forward = forward
