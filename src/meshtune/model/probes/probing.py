"""Checks every fast path for a base against the model itself, when the base is loaded.

The reference is the model's output for each row alone before it is modified (:mod:`meshtune.model.probes.survey`).
Checked are: logits from hidden states; rows in one stream, padded, one at a time; options side by side; losses and
gradients of an adapter; the hidden states that routers use; a cache for writing; passes in two threads. If a path
disagrees or fails, the next simpler one is used; if the simplest fails, the base is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.layer import Adapters
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Segments
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.cores import threads
from meshtune.model.encoding import Row
from meshtune.model.head import fitted
from meshtune.model.kv_cache import Cached
from meshtune.model.micro_batch import micro_batch
from meshtune.model.packing import Packed
from meshtune.model.paths import READINGS, Paths
from meshtune.model.probes.survey import Survey, far_off, reason
from meshtune.seeds import stream

HEADS = 8
"""Tokens used to find out how logits follow from hidden states."""
LEARNT = ((9, 6), (6, 3))
"""For two experts: how many tokens of a survey row each is trained on, and how many of them are prompt."""


@dataclass(frozen=True)
class Learnt:
    """What an expert learns from a row, by autograd through the model's own logits.

    Attributes:
        batches: two experts with one row each.
        loss: the second expert's loss.
        grad: its gradient for the expert's values.
    """

    batches: list[tuple[SparseExpert, list[Row]]]
    loss: float
    grad: Tensor


def learn(model: Any, adapters: Adapters, name: str, seen: Survey) -> Learnt:
    """Return what an expert learns in ``model``, to which only ``adapters`` have been attached so far.

    Raises:
        UserError: the model's own code gives no gradient.
    """
    batches = []
    for number, (length, prompt) in enumerate(LEARNT):
        expert = _expert(model, adapters, number)
        expert.values.requires_grad_()
        part = seen.rows[number][:length]
        batches.append((expert, [Row(part, min(prompt, len(part) - 1))]))
    expert, (row,) = batches[1]
    tokens = torch.tensor([row.tokens], device=next(iter(model.parameters())).device)
    try:
        with adapters.routed(Segments([(expert, 1)], trainable=True)):
            logits = model(input_ids=tokens, use_cache=False).logits[0]
        loss = F.cross_entropy(logits[row.prompt - 1 : -1].double(), tokens[0, row.prompt :])
        (grad,) = torch.autograd.grad(loss, expert.values)
    except Exception as error:  # inference-only code may fail anywhere
        raise UserError(
            f"model.name={name}: {type(model).__name__} gives no gradient to adapters ({reason(error)}): "
            "use another base"
        ) from error
    return Learnt(batches, float(loss.detach()), grad)


def probe(base: Base, seen: Survey, learnt: Learnt) -> Paths:
    """Return the paths that ``base`` may use, and make it use them.

    Raises:
        UserError: not even the simplest path reproduces the model.
    """
    paths = _head(base, seen, Paths(left_out=seen.left_out, beside=False, threads=False, cache=False))
    readings = [reading for reading in READINGS if reading != "stream" or base.streams]
    tried = (_reading(base, seen, learnt, replace(paths, read=reading)) for reading in readings)
    found = next((one for one in tried if one is not None), None)
    paths = _plainest(base, seen, learnt, paths) if found is None else found
    base.go_by(paths)
    if not _holds(lambda: _enters(base, seen)):
        raise UserError(
            f"model.name={base.name}: the input of a block of {type(base.model).__name__} is not one vector a token, "
            "which routers look at: use another base"
        )
    if paths.read == "stream" and not seen.far and base.window < base.longest:
        paths = replace(paths, reach=base.window)
    if not paths.cache:
        paths = replace(paths, cache=not paths.whole and _holds(lambda: _goes_on(base, seen)))
    base.go_by(paths)
    return paths


def _reading(base: Base, seen: Survey, learnt: Learnt, paths: Paths) -> Paths | None:
    """Return ``paths`` completed for its way of reading, or None if that way is wrong.

    Passes first run in threads: if that is correct, sequential passes are correct too.
    """
    reads, learns = partial(_reads, base, seen), partial(_learns, base, learnt)
    beside, goes_on = partial(_reads_beside, base, seen), partial(_goes_on, base, seen)
    several = not seen.stateful
    if paths.read != "alone":
        tried = replace(paths, beside=True, threads=several)
        base.go_by(tried)
        if several:
            hold = _in_threads(base, beside, learns, *([] if paths.whole else [goes_on]))
            if all(hold[:2]):
                return replace(tried, cache=not paths.whole and hold[2])
    base.go_by(paths)
    if not (_holds(reads) and _holds(learns)):
        return None
    tried = replace(paths, threads=several and all(_in_threads(base, reads, learns)))
    if paths.read == "alone":
        return tried
    base.go_by(replace(tried, beside=True))
    return replace(tried, beside=_holds(beside))


def _head(base: Base, seen: Survey, paths: Paths) -> Paths:
    """Return ``paths`` with the head that reproduces the model's logits from its last hidden states."""
    if seen.hidden is None or base.decoder is base.model:
        return replace(paths, linear=False, whole=True)
    own = base.own_head
    config, layer = base.model.config.get_text_config(), base.model.get_output_embeddings()
    some, expected = seen.hidden[-HEADS:], seen.logits[0][-HEADS:]
    with torch.no_grad():
        try:
            found = fitted(own, layer, config, some, expected, far_off, 0.02 if seen.half else 1e-5)
            if found is not None:
                return replace(paths, scale=found.scale, cap=found.cap)
            if far_off(own.logits(some), expected) <= seen.limit:
                return replace(paths, linear=False)
        except Exception:  # a head that needs more than the decoder's states
            pass
    return replace(paths, linear=False, whole=True)


def _plainest(base: Base, seen: Survey, learnt: Learnt, paths: Paths) -> Paths:
    """Return ``paths`` with the first way of computing logits that is correct for single rows.

    Raises:
        UserError: none is.
    """
    off = float("inf")
    for more in ({}, {"linear": False}, {"linear": False, "whole": True}):
        tried = replace(paths, read="alone", **more)  # type: ignore[arg-type]
        base.go_by(tried)
        if _holds(lambda: _reads(base, seen)) and _holds(lambda: _learns(base, learnt)):
            return tried
        off = min(off, _measured(lambda: _off(base, seen)))
    raise UserError(
        f"model.name={base.name}: {type(base.model).__name__} is not read as transformers reads it (logits are off by "
        f"{off:.2g} of their spread, or gradients are): use another base"
    )


def _measured(how_far: Callable[[], float]) -> float:
    try:
        return how_far()
    except Exception:
        return float("inf")


def _holds(check: Callable[[], bool]) -> bool:
    """Return whether ``check`` holds; a path that an architecture's code refuses does not."""
    try:
        return check()
    except (MemoryError, torch.OutOfMemoryError):  # says nothing about the model
        raise
    except Exception:  # third-party code, perhaps used in ways that it does not support
        return False


def _off(base: Base, seen: Survey) -> float:
    packed = Packed(seen.rows, base.device)
    with torch.no_grad():
        logits = base.logits(base.read(packed))
    return far_off(logits, torch.cat(seen.logits))


def _reads(base: Base, seen: Survey) -> bool:
    """Rows of different lengths in one pass, also beyond the model's window, match single rows."""
    if _off(base, seen) > seen.limit:
        return False
    if not seen.far or base.paths.whole:
        return True
    with torch.no_grad():
        return far_off(base.read(Packed(seen.far, base.device)), torch.cat(seen.far_states)) <= seen.limit


def _reads_beside(base: Base, seen: Survey) -> bool:
    """Two endings of different lengths after one beginning, and another row in the same pass."""
    start = seen.start
    first, second = seen.rows[0], seen.rows[1][:-2]
    packed, places = beside(first, second, start, seen.rows[2], base.device)
    expected = torch.cat([seen.logits[0], seen.logits[1][start : len(second)], seen.logits[2]])
    with torch.no_grad():
        if far_off(base.logits(base.read(packed)[places]), expected) > seen.limit:
            return False
        if not seen.far or base.paths.whole:
            return True
        if base.packs:  # padded rows beyond the window are never read side by side
            packed, places = beside(seen.far[0], seen.far[1], seen.far_start, seen.far[2], base.device)
            expected = torch.cat([seen.far_states[0], seen.far_states[1][seen.far_start :], seen.far_states[2]])
        else:
            packed, expected = Packed(seen.far, base.device), torch.cat(seen.far_states)
            places = slice(0, len(expected))
        return far_off(base.read(packed)[places], expected) <= seen.limit


def beside(
    first: Sequence[int], second: Sequence[int], start: int, other: Sequence[int], device: torch.device
) -> tuple[Packed, slice]:
    """Return ``other`` and ``first``, with the tokens of ``second`` after their common ``start`` beside its own ending;
    and which states belong to each of the three rows.
    """
    ends = len(first) - start, len(second) - start
    row = [*first, *second[start:]]
    positions = [*range(len(first)), *range(start, len(second))]
    parts = [*[0] * start, *[1] * ends[0], *[2] * ends[1]]
    packed = Packed([row, other], device, [positions, range(len(other))], [parts, [0] * len(other)])
    return packed, slice(0, len(row) + len(other))


def _learns(base: Base, learnt: Learnt) -> bool:
    """When two experts train in one pass, the second gets the same loss and gradient as alone."""
    owned = [(owner, rows[0]) for owner, (_, rows) in enumerate(learnt.batches)]
    losses, grads = micro_batch(base, learnt.batches, owned, False)
    half = base.dtype in (torch.bfloat16, torch.float16)
    off = abs(float(losses[1]) - learnt.loss)
    bent = float((grads[1] - learnt.grad).norm()) / max(float(learnt.grad.norm()), 1e-12)
    return off <= (0.1 if half else 3e-4) * max(1.0, abs(learnt.loss)) and bent <= (0.2 if half else 1e-3)


def _enters(base: Base, seen: Survey) -> bool:
    """The input of a block is correct for rows of different lengths in one pass."""
    if any(entered is None for entered in seen.entered):
        return False
    with base.stopped_at(seen.block) as read:
        found = read(Packed(seen.rows, base.device))
    expected = torch.cat([entered for entered in seen.entered if entered is not None])
    if found.shape != expected.shape or found.shape[1] != base.width:
        return False
    return float((found - expected).double().norm() / expected.double().norm()) <= (0.05 if seen.half else 1e-4)


def _goes_on(base: Base, seen: Survey) -> bool:
    """Rows of different lengths are read, one leaves, and the others continue."""
    past = Cached(base)
    at = [max(1, min(9, len(row)) - 3 - number) for number, row in enumerate(seen.rows)]
    found = [past.read([row[:n] for row, n in zip(seen.rows, at, strict=True)], None)]
    past.keep([0, 2])
    found.append(past.read([seen.rows[row][at[row] : at[row] + 1] for row in (0, 2)], None))
    steps = [(row, at[row] - 1) for row in range(3)] + [(row, at[row]) for row in (0, 2)]
    expected = torch.stack([seen.logits[row][place] for row, place in steps])
    with torch.no_grad():
        return far_off(base.logits(torch.cat(found)), expected) <= 2 * seen.limit


def _in_threads(base: Base, *checks: Callable[[], bool]) -> list[bool]:
    """Return which of ``checks`` hold while they run at the same time, on a CPU as passes would."""
    if base.device.type != "cpu":
        return [_holds(check) for check in checks]
    together = Barrier(len(checks))

    def check(number: int) -> bool:
        with suppress(BrokenBarrierError):
            together.wait(60)
        return _holds(checks[number])

    with threads(1), ThreadPoolExecutor(len(checks), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(check, range(len(checks))))


def _expert(model: Any, adapters: Adapters, block: int) -> SparseExpert:
    """Return an expert of a few values in every layer."""
    layers, first = adapters.layers, next(iter(model.parameters()))
    masks = [torch.arange(0, layer.outputs, max(1, layer.outputs // 4)) for layer in layers]
    made = SparseExpert(
        layers, Projections(Recipe(0, "gaussian", block, 1), first.dtype, str(first.device)), masks, 1.0
    )
    values: Any = stream(0, "probe-values", block).standard_normal(made.count)
    return made.with_values(torch.from_numpy(values).float() * 0.02)
